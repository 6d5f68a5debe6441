"""How much memory the machine has, and what a run may change when that is not enough. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from training.engine.architectures import WHITENED_CNN

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMINFO: Final = Path("/proc/meminfo")
OWN_CGROUP: Final = Path("/proc/self/cgroup")


class Memory(NamedTuple):
    """Memory in bytes: what was still free, and what there is in all."""

    free: int
    total: int

    def __str__(self) -> str:
        return f"{self.free / 2**30:.1f} of {self.total / 2**30:.1f} GiB"


def read_machine_memory() -> Memory | None:
    """Return what this process can get: of the machine, or of a control group where one allows less.

    Returns:
        None where the system is not Linux and does not tell.
    """
    try:
        fields = dict(re.findall(r"^(\w+): +(\d+) kB$", MEMINFO.read_text(encoding="ascii"), re.M))
    except OSError:
        return None
    found = [Memory(free=1024 * int(fields["MemAvailable"]), total=1024 * int(fields["MemTotal"]))]
    group = own_cgroup()
    found += [limit for folder in (group, *group.parents) if (limit := _read_limit(folder)) is not None]
    return Memory(free=min(memory.free for memory in found), total=min(memory.total for memory in found))


def own_cgroup() -> Path:
    """Return the folder of our control group (version 2), or that of all where there is none."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return CGROUPS
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    return CGROUPS / own.lstrip("/")


def advise_less_memory(settings: Mapping[str, object]) -> str:
    """Say what was tried and what to change, as the end of a sentence.

    Args:
        settings: Fields of a `TrainConfig` by name.
    """
    size = "width_multiplier" if settings.get("architecture") == WHITENED_CNN else "input_size"
    tried = " with ".join(
        f"{name} {settings[name]}" for name in ("batch_size", "accumulation_steps") if name in settings
    )
    return f"{tried} was tried; lower batch_size, raise accumulation_steps or lower {size}"


def _read_limit(folder: Path) -> Memory | None:
    """Return what a control group allows; None where it sets no limit."""
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return None if limit == "max" else Memory(free=max(0, int(limit) - int(used)), total=int(limit))

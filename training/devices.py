"""The devices of this machine, and who trains on which: one run for each graphics card, or for the processor.

A device is held by a lock on a file, which the kernel lets go of however its holder ends. All workers of one machine
share these files, because they share `CIFARSITE_VAR`; other machines have devices of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

_NVIDIA_SMI_SECONDS: Final = 5.0

INFERENCE_PLACE: Final = "inference"
"""For `hold_place`: batches and evaluations use every core, so that a machine does one of them at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card as `nvidia-smi` tells of it.

    Attributes:
        id: Its number, or what CUDA_VISIBLE_DEVICES calls it.
        name: Its model.
    """

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class HeldDevices:
    """Devices that are ours until the context ends.

    Attributes:
        ids: Of graphics cards; empty for the processor.
    """

    ids: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that let a process see these devices and no others."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.ids)} if self.ids else {}


@cache
def list_gpus() -> tuple[Gpu, ...]:
    """Return the NVIDIA cards that this process may use; asked of `nvidia-smi` once."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi does not answer: %s", error)
        return ()
    found = [line.partition(", ") for line in answer.stdout.splitlines() if line.strip()]
    gpus = tuple(Gpu(id=index.strip(), name=name.strip()[:255]) for index, _comma, name in found)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if visible is None else tuple(gpu for gpu in gpus if gpu.id in visible.split(","))


def count_devices() -> int:
    """Return how many runs this machine may carry out at the same time."""
    return len(list_gpus()) or settings.TRAINING_SLOTS


def fits_this_machine(count: int) -> bool:
    """Whether a run that trains on `count` devices can ever have them here; on a processor they are all the same."""
    return not list_gpus() or count <= len(list_gpus())


@contextlib.contextmanager
def hold_devices(count: int) -> Iterator[HeldDevices | None]:
    """Hold `count` free graphics cards, or a place on the processor of a machine without any.

    Yields:
        The devices, or None when fewer are free.
    """
    gpus = list_gpus()
    names = [f"gpu-{gpu.id}" for gpu in gpus] or [f"cpu-{number}" for number in range(settings.TRAINING_SLOTS)]
    wanted = count if gpus else 1
    with contextlib.ExitStack() as locks:
        held: list[int] = []
        for number, name in enumerate(names):
            if len(held) < wanted and _lock(name, locks):
                held.append(number)
        if len(held) < wanted:
            locks.close()
            yield None
        else:
            yield HeldDevices(ids=tuple(gpus[number].id for number in held) if gpus else ())


@contextlib.contextmanager
def hold_place(name: str) -> Iterator[bool]:
    """Hold the only place of this machine for something, unless somebody has it.

    Args:
        name: For what.

    Yields:
        Whether it is ours until the context ends.
    """
    with contextlib.ExitStack() as locks:
        yield _lock(name, locks)


def _lock(name: str, locks: contextlib.ExitStack) -> bool:
    """Take the lock of one device for as long as `locks` is open, unless somebody has it."""
    folder = Path(settings.VAR) / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{name}.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    locks.callback(file.close)
    return True

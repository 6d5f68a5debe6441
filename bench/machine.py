"""What a figure was measured on and with: it stands beside every result."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results"


def describe_hardware() -> dict[str, object]:
    """Return the processor's name, the cores this process may use, the memory and the system."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_versions(*packages: str) -> dict[str, str]:
    """Return the version of Python and of each package."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def describe_command(module: str) -> str:
    """Return the command line of a benchmark; of files and folders of this machine the last name alone."""
    arguments = [Path(argument).name if "/" in argument else argument for argument in sys.argv[1:]]
    return " ".join(["python", "-m", module, *arguments])


def save_result(name: str, figures: dict[str, object], *, packages: tuple[str, ...]) -> None:
    """Write figures, with the hardware, the versions and the command, to `bench/results/<name>`.

    Args:
        name: The file's name.
        figures: What was measured; ready for JSON.
        packages: Packages whose versions matter to it.
    """
    module = Path(sys.argv[0]).stem
    context = {
        "hardware": describe_hardware(),
        "versions": describe_versions(*packages),
        "command": describe_command(f"bench.{module}"),
    }
    path = RESULTS / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(figures | context, indent=1) + "\n", encoding="utf-8")
    print(f"saved {path}")

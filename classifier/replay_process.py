"""`python -m classifier.replay_process FOLDER`: answers the golden samples of a package that nobody knows yet.

In a process of its own, because a graph from elsewhere may ask for any amount of memory and time: what it breaks here
is this process. The exit code tells: 0 when it answers as its manifest says, `DIFFERS` when not, anything else when it
broke.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

import django

MEMORY_BYTES: Final = 4 * 1024**3
"""Of addresses, beyond those in use before the package is opened; the largest network here takes a tenth."""

CPU_SECONDS: Final = 60


def main() -> int:
    """Replay the package in the folder that the command line names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cifarsite.settings")
    django.setup()
    from classifier.replay import DIFFERS, replay  # noqa: PLC0415  # not before Django is set up
    from training.engine.exceptions import PackageError  # noqa: PLC0415  # the same
    from training.engine.package import verify_package  # noqa: PLC0415  # the same

    _bound()
    try:
        replay(verify_package(Path(sys.argv[1])))
    except (PackageError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return DIFFERS
    return 0


def _bound() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    addresses = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())

"""Starting processes that cannot outlive the one that started them (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

from training.engine.parent_death import tie_to_this_process


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
    death_signal: int = signal.SIGKILL,
) -> subprocess.Popen[str]:
    """Start `command` in its own session and process group; it gets `death_signal` when the caller's thread ends.

    Args:
        command: program and arguments; never a shell line.
        env: variables added to this process's environment.
        stdout: as in `subprocess.Popen`; text, line by line.
        stderr: likewise.
        death_signal: SIGKILL for a leaf, SIGTERM for a program that must end children of its own.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        list(command),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        bufsize=1,
        start_new_session=True,
        preexec_fn=tie_to_this_process(death_signal),  # noqa: PLW1509 - prctl has no other place; it takes no lock
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL the whole group of a process that `spawn` made, its leader ended or not, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def engine_command(*arguments: str) -> list[str]:
    """Return the command line of the training engine in a fresh interpreter of this environment."""
    return [sys.executable, "-m", "training.engine", *arguments]

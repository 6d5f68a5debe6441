"""Starting processes that cannot outlive the one that started them (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Loaded before any fork: a child between fork and exec must not take the loader's lock.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `signal_number` to this process when the thread that made it ends. Survives exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number)


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
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death_signal)
        if os.getppid() != parent:  # the parent ended before the request was made
            os._exit(1)

    return subprocess.Popen(
        list(command),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        bufsize=1,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509  # prctl has no other place; the loader's lock is not needed here
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL the whole group of a process that `spawn` made, its leader ended or not, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def engine_command(*arguments: str) -> list[str]:
    """Return the command line of the training engine in a fresh interpreter of this environment."""
    return [sys.executable, "-m", "training.engine", *arguments]

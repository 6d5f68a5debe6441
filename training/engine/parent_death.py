"""Asking the kernel to end a process with the one that started it (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Loaded before any fork: a child between fork and exec must not take the loader's lock.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `signal_number` to this process when the thread that made it ends. Survives exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number)


def tie_to_this_process(signal_number: int = signal.SIGKILL) -> Callable[[], None]:
    """Return what a child of this process does between fork and exec so that it cannot outlive the caller's thread."""
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(signal_number)
        if os.getppid() != parent:  # the parent ended before the request was made
            os._exit(1)

    return prepare

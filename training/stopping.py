"""How a worker that shuts down tells the supervisors in its pool children.

Celery's warm shutdown waits for running tasks; ours would run for hours. The parent therefore raises a flag that its
children were born with, and a child that gets SIGTERM itself (a service manager signals every process) does the same.
"""

from __future__ import annotations

import mmap
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self


class SharedFlag:
    """One byte of memory that a process shares with the children it forks later.

    Unlike `multiprocessing.Event` it has no lock: it may be raised in a signal handler, and a child killed while
    reading it cannot block anybody.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Raise the flag."""
        self._memory[0] = 1

    def clear(self) -> None:
        """Lower the flag."""
        self._memory[0] = 0

    def is_set(self) -> bool:
        """Whether the flag is raised."""
        return self._memory[0] == 1


worker_stopping: Final = SharedFlag()


class StopSignals:
    """While this context is open, SIGTERM and SIGINT are noted instead of ending the process.

    A signal that is ignored stays ignored (SIGINT in Celery's pool children). Outside the main thread, where Python
    allows no handler, only the worker's flag counts.
    """

    def __init__(self) -> None:
        self._received = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether this process or its worker was asked to stop."""
        return self._received or worker_stopping.is_set()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._received = True

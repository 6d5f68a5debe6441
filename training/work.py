"""What the two kinds of jobs do differently around the engine: folders, command line, result, cleaning up."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from training.choices import JobStatus, Reason
from training.engine.events import FinishedEvent
from training.recording import JobRecorder


class UnusableResultError(Exception):
    """The engine finished, but what it made cannot be used. `str(error)` is the sentence for the owner."""

    def __init__(self, detail: str, *, reason: Reason) -> None:
        super().__init__(detail)
        self.reason = reason


class Work(ABC):
    """One claimed job's work."""

    recorder: JobRecorder

    @abstractmethod
    def prepare(self) -> list[str]:
        """Make the working folder and return the engine's command line.

        Raises:
            OSError: a file cannot be written.
        """

    @abstractmethod
    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Bring the result's files to their final place.

        Returns:
            The write, one transaction, that makes the result known and the job succeed. It may be repeated while the
            database is away, and raises what this method raises.

        Raises:
            UnusableResultError: the result is refused.
            OSError: a file cannot be written.
        """

    @abstractmethod
    def clean_up(self, status: JobStatus | None) -> None:
        """Remove what the state the job is in now has no use for.

        Args:
            status: That state; None when the job was taken from this worker.
        """


def remove_other_fences(folder: Path, *, oldest_kept: int) -> None:
    """Remove the numbered sub-folders of claims older than `oldest_kept`."""
    if folder.is_dir():
        for path in folder.iterdir():
            if re.fullmatch(r"\d+", path.name) and int(path.name) < oldest_kept:
                shutil.rmtree(path, ignore_errors=True)

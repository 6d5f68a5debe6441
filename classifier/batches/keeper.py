"""What a worker owes a job that it carries out itself: the lease, an ear for cancel and shutdown, fenced writes."""

from __future__ import annotations

import time
from collections.abc import Callable

from training.jobs import Job
from training.stopping import StopSignals
from training.supervisor import Timings, write_until_lease_ends


class StopAskedError(Exception):
    """The work is to end: because its owner cancelled it, or because this worker shuts down.

    Args:
        is_cancelled: Whether it is the former.
    """

    def __init__(self, *, is_cancelled: bool) -> None:
        super().__init__()
        self.is_cancelled = is_cancelled


class Keeper:
    """Keeps a claimed job ours while the work goes on. One thread, the one that owns the database connection.

    Args:
        job: The claimed job.
        stop_signals: Tells when this worker shuts down.
        timings: How often to look.
    """

    def __init__(self, job: Job, *, stop_signals: StopSignals, timings: Timings) -> None:
        self._job = job
        self._stop_signals = stop_signals
        self._timings = timings
        now = time.monotonic()
        self._next_poll = now
        self._next_heartbeat = now + timings.heartbeat

    def look(self) -> None:
        """Renew the lease when it is time, and see whether the work is to end. Cheap enough for every entry.

        Raises:
            StopAskedError: it is.
            FenceLostError: the job is no longer this worker's.
        """
        if self._stop_signals.requested:
            raise StopAskedError(is_cancelled=False)
        now = time.monotonic()
        if now < self._next_poll:
            return
        if now >= self._next_heartbeat:
            self.write(self._job.renew_lease)
            self._next_heartbeat = time.monotonic() + self._timings.heartbeat
        asked: list[bool] = []
        self.write(lambda: asked.append(self._job.is_cancel_requested()))
        self._next_poll = time.monotonic() + self._timings.poll
        if asked[-1]:
            raise StopAskedError(is_cancelled=True)

    def write(self, write: Callable[[], None]) -> None:
        """Write to the database; while it is away, for as long as the lease lasts, again and again.

        Raises:
            FenceLostError: the job is no longer this worker's, or may no longer be.
        """
        write_until_lease_ends(write, timings=self._timings)

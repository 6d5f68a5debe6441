"""Uploading beside the supervision of a job: in a thread, so that a slow store does not cost the lease.

The thread touches no row. What it has stored is named by the supervisor's next write, which is fenced like all others.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Final, TypeVar

from django.conf import settings

from training.checkpoints import choose_outdated, list_checkpoints, parse_location
from training.engine.events import CheckpointEvent
from training.exceptions import DamagedArtifactError, StoreError
from training.jobs import Job
from training.store import is_remote, publish, remove
from training.supervisor import write_until_lease_ends

# A store that is away for longer costs the result; until the first checkpoint got through, also the work.
PATIENCE_SECONDS: Final = 300.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


def do_beside_lease(job: Job, action: Callable[[], _T]) -> _T:
    """Do what may take long with a remote store, and renew the job's lease meanwhile.

    Args:
        job: The job, which is ours.
        action: What to do; it must not touch the database, whose connection belongs to this thread.

    Raises:
        FenceLostError: the job was taken from this worker; the action goes on and means nothing any more.
        OSError: as for `action`.
    """
    if not is_remote():
        return action()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    try:
        future = pool.submit(action)
        while not future.done():
            _wait_a_heartbeat(future, job)
        return future.result()
    finally:
        pool.shutdown(wait=False)


def insist(action: Callable[[], _T]) -> _T:
    """Do something with the store; repeat it for as long as is reasonable while the store is away.

    Raises:
        OSError: as for `action`: the disk or the store is full, or the store was away for too long.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except StoreError as error:
            if isinstance(error, DamagedArtifactError) or time.monotonic() + pause > deadline:
                raise
            logger.warning("%s, it is tried again in %d s", error.strerror, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class CheckpointPublisher:
    """Brings the checkpoints of one claim into the store, the newest first: older ones that still wait are skipped.

    Args:
        folder: The claim's working folder under the artifacts root, `runs/<run>/<fence>`.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._waiting: CheckpointEvent | None = None
        self._under_way: tuple[CheckpointEvent, Future[bool]] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints") if is_remote() else None

    def submit(self, event: CheckpointEvent) -> None:
        """Take in a checkpoint that the engine announced."""
        self._waiting = event
        self._start()

    def take(self) -> CheckpointEvent | None:
        """Return a checkpoint that has become safe since the last time.

        Raises:
            OSError: the store is full, or the disk could not be read.
        """
        if self._pool is None:
            event, self._waiting = self._waiting, None
            return event
        if self._under_way is None or not self._under_way[1].done():
            return None
        (event, future), self._under_way = self._under_way, None
        self._start()
        return event if future.result() else None

    def confirm(self, location: str) -> None:
        """Let go of the checkpoints that nothing needs, now that the row names the one at `location`."""
        if self._pool is not None:
            self._pool.submit(_remove_outdated, location)
        else:
            _remove_outdated(location)

    def wait(self, job: Job, *, until: float) -> bool:
        """Wait for the end of the upload that is under way, and renew the job's lease meanwhile.

        Args:
            job: The job, which is ours.
            until: On the clock of `time.monotonic`, when to give it up.

        Returns:
            Whether one ended; `take` has its outcome.

        Raises:
            FenceLostError: the job was taken from this worker.
        """
        if self._under_way is None:
            return False
        future = self._under_way[1]
        while not future.done() and time.monotonic() < until:
            _wait_a_heartbeat(future, job, until=until)
        return future.done()

    def close(self) -> None:
        """Forget what still waits."""
        self._waiting = None
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        if self._pool is not None and self._under_way is None and self._waiting is not None:
            event, self._waiting = self._waiting, None
            self._under_way = (event, self._pool.submit(_publish, f"{self._folder}/{event['path']}"))


def _publish(location: str) -> bool:
    """Upload a checkpoint; returns False when it did not get there, which costs no more than the way back to it.

    Raises:
        OSError: the store is full.
    """
    try:
        insist(partial(publish, location))
    except FileNotFoundError:
        logger.info("%s was replaced by a newer one before it was in the store", location)
        return False
    except StoreError as error:
        logger.warning("%s is not in the store: %s", location, error.strerror)
        return False
    return True


def _remove_outdated(location: str) -> None:
    recorded = parse_location(location)
    if recorded is None:
        return
    try:
        for name in choose_outdated(recorded, list_checkpoints(recorded.run)):
            remove(name.location)
    except OSError as error:
        logger.warning("Checkpoints before %s are removed later: %s", location, error.strerror)


def _wait_a_heartbeat(future: Future[_T], job: Job, *, until: float = math.inf) -> None:
    try:
        future.exception(timeout=min(settings.HEARTBEAT_SECONDS, max(0.0, until - time.monotonic())))
    except NotYet:
        write_until_lease_ends(job.renew_lease)

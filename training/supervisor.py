"""Running one engine process for one job: its events, the lease, cancel and shutdown, and how it ended.

One loop, no threads. The engine leads a process group of its own and dies with the process that supervises it.
"""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from subprocess import PIPE
from types import MappingProxyType
from typing import Final, Protocol

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError

from training.choices import Reason
from training.engine.constants import EXIT_FINISHED
from training.engine.events import Event, FinishedEvent, parse_line
from training.exceptions import FenceLostError
from training.jobs import Job
from training.pipes import LineReader, printable
from training.processes import kill_group, spawn
from training.stopping import StopSignals
from training.verdicts import count_oom_kills, judge_exit

LOG_TAIL_LINES: Final = 50
_EXIT_POLL_SECONDS: Final = 0.05
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How patient a supervisor is, in seconds.

    Attributes:
        poll: Between two looks at the cancel flag and two writes of progress.
        heartbeat: Between two renewals of the lease.
        lease: After which, without a renewal, the job is no longer ours.
        grace: From SIGTERM to SIGKILL.
        progress: Without any event, after which the engine is taken for stuck.
    """

    poll: float = 1.0
    heartbeat: float = field(default_factory=lambda: settings.HEARTBEAT_SECONDS)
    lease: float = field(default_factory=lambda: settings.LEASE_SECONDS)
    grace: float = 15.0
    progress: float = field(default_factory=lambda: settings.PROGRESS_SECONDS)


TIMINGS: Final = Timings()


class EventSink(Protocol):
    """What receives an engine's events."""

    def receive(self, event: Event) -> None:
        """Take in one event, in memory; it must not touch the database."""

    def flush(self) -> None:
        """Write what has been received to the database; called about once a second.

        Raises:
            FenceLostError: the job is no longer this worker's.
            OperationalError: the database does not answer; the same call is repeated later.
        """


class Ending(Enum):
    """How an engine's work came to an end."""

    FINISHED = auto()  # with a result
    FAILED = auto()  # for a reason that another attempt would meet again
    LOST = auto()  # killed by somebody else: worth another attempt
    CANCELLED = auto()  # as its owner asked
    RELEASED = auto()  # because this worker shuts down


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of an engine's work.

    Attributes:
        ending: Which kind of end.
        log_tail: The last lines of the engine's standard error.
        reason: Why, when it failed or was lost.
        detail: The same as one sentence.
        finished: The `finished` event, when there was one.
    """

    ending: Ending
    log_tail: str
    reason: Reason = Reason.ERROR
    detail: str = ""
    finished: FinishedEvent | None = None


def supervise(
    job: Job,
    command: Sequence[str],
    *,
    sink: EventSink,
    environment: Mapping[str, str] = _NOTHING,
    timings: Timings = TIMINGS,
) -> Outcome:
    """Run `command` for the claimed `job` until it ends, is cancelled, gets stuck or must stop.

    Whatever happens, no process of the engine's group is left when this returns or raises.

    Args:
        job: The job.
        command: The engine's command line.
        sink: What receives its events.
        environment: Variables of its own.
        timings: How patient to be.

    Raises:
        FenceLostError: the job was taken from this worker; nothing more may be written.
        OSError: the engine cannot be started.
    """
    with StopSignals() as stop_signals:
        supervision = _Supervision(
            job, command, sink=sink, environment=environment, timings=timings, stop_signals=stop_signals
        )
        try:
            return supervision.run()
        finally:
            supervision.kill()


def write_until_lease_ends(write: Callable[[], None], *, timings: Timings = TIMINGS) -> None:
    """Call `write`; while the database does not answer, repeat it for as long as a lease lasts.

    Raises:
        FenceLostError: the job is no longer this worker's, or the database stayed away for longer than the lease.
    """
    deadline = time.monotonic() + timings.lease
    while True:
        _renew_connection()
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            _renew_connection(broken=True)
            if time.monotonic() > deadline:
                raise FenceLostError from error
            logger.warning("The database does not answer, the end of the job is written later: %s", error)
            time.sleep(timings.poll)


class _Supervision:
    """One engine process and its clocks."""

    def __init__(
        self,
        job: Job,
        command: Sequence[str],
        *,
        sink: EventSink,
        environment: Mapping[str, str],
        timings: Timings,
        stop_signals: StopSignals,
    ) -> None:
        self._job = job
        self._sink = sink
        self._timings = timings
        self._stop_signals = stop_signals
        self._finished: FinishedEvent | None = None
        self._failed: tuple[Reason, str] | None = None
        self._stopping: Ending | None = None  # what SIGTERM was sent for
        self._stuck = False
        self._log: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        self._oom_kills = count_oom_kills()
        now = time.monotonic()
        self._renewed_at = self._event_at = now
        self._next_heartbeat = now + timings.heartbeat
        self._next_poll = now
        self._kill_at = float("inf")
        self._readers: list[LineReader] = []
        self._process = spawn(command, env={**engine_environment(), **environment}, stdout=PIPE, stderr=PIPE)

    def run(self) -> Outcome:
        """Loop until the engine has ended."""
        with selectors.DefaultSelector() as selector:
            for stream, take_line in ((self._process.stdout, self._take_event), (self._process.stderr, self._take_log)):
                if stream is not None:
                    reader = LineReader(stream, take_line)
                    self._readers.append(reader)
                    selector.register(stream, selectors.EVENT_READ, reader)
            while self._process.poll() is None:
                for key, _mask in selector.select(self._seconds_to_wait(is_open=bool(selector.get_map()))):
                    if not key.data.read():
                        selector.unregister(key.fileobj)
                self._tick()  # after reading: a supervisor that was stopped for long finds the events first
        kill_group(self._process)
        for reader in self._readers:
            reader.drain()
        return self._describe_end(self._process.returncode)

    def kill(self) -> None:
        """End whatever is left of the engine's process group."""
        kill_group(self._process)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _seconds_to_wait(self, *, is_open: bool) -> float:
        """How long to sleep at most; a process that has closed its pipes is about to end."""
        due = min(self._next_poll, self._next_heartbeat, self._kill_at) - time.monotonic()
        return max(0.0, due if is_open else min(due, _EXIT_POLL_SECONDS))

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_poll or now >= self._next_heartbeat:
            self._use_database(now)
            self._next_poll = time.monotonic() + self._timings.poll
        if self._stop_signals.requested:
            self._stop(Ending.RELEASED)
        if time.monotonic() >= self._kill_at:
            kill_group(self._process)
        elif now - self._event_at > self._timings.progress:
            self._stuck = True
            kill_group(self._process)

    def _use_database(self, now: float) -> None:
        """Renew the lease when it is time, write what came in, and ask whether somebody cancelled.

        Raises:
            FenceLostError: the job is no longer ours, or may no longer be: the database is away for a lease's time.
        """
        _renew_connection()
        try:
            if now >= self._next_heartbeat:
                self._job.renew_lease()
                self._renewed_at = now
                self._next_heartbeat = now + self._timings.heartbeat
            self._sink.flush()
            if self._job.is_cancel_requested():
                self._stop(Ending.CANCELLED)
        except (OperationalError, InterfaceError) as error:
            _renew_connection(broken=True)
            if time.monotonic() - self._renewed_at > self._timings.lease:
                raise FenceLostError from error
            self._next_heartbeat = max(self._next_heartbeat, time.monotonic() + self._timings.poll)
            logger.warning("The database does not answer, the work goes on for now: %s", error)

    def _stop(self, ending: Ending) -> None:
        """Ask the engine to save a checkpoint and end; a cancel overrides a release, a result overrides both."""
        if self._finished is not None:
            return
        if self._stopping is None:
            self._process.terminate()
            self._kill_at = time.monotonic() + self._timings.grace
        if self._stopping is None or ending is Ending.CANCELLED:
            self._stopping = ending

    def _take_event(self, line: str) -> None:
        event = parse_line(line)
        if event is None:
            return
        self._event_at = time.monotonic()
        try:
            if event["event"] == "finished":
                self._finished = event
            elif event["event"] == "failed":
                self._failed = (Reason(event["reason"]), printable(event["detail"]))
            self._sink.receive(event)
        except (AttributeError, KeyError, TypeError, ValueError):
            logger.exception("The engine of %s sent an event that makes no sense: %s", self._job, printable(line))
            self._finished = None
            self._failed = (Reason.ERROR, "The engine sent a message that cannot be understood.")
            kill_group(self._process)

    def _take_log(self, line: str) -> None:
        self._log.append(printable(line))

    def _describe_end(self, code: int) -> Outcome:
        log_tail = "\n".join(self._log)
        if self._finished is not None and self._stopping is not Ending.CANCELLED:
            if code != EXIT_FINISHED:
                logger.warning("The engine of %s had its result and then exited with %d.", self._job, code)
            return Outcome(ending=Ending.FINISHED, log_tail=log_tail, finished=self._finished)
        if self._stopping is not None:
            return Outcome(ending=self._stopping, log_tail=log_tail)
        if self._failed is not None:
            reason, detail = self._failed
            return Outcome(ending=Ending.FAILED, log_tail=log_tail, reason=reason, detail=detail)
        if self._stuck:
            detail = f"Nothing was heard of the engine for {self._timings.progress:g} seconds, so it was stopped."
            return Outcome(ending=Ending.FAILED, log_tail=log_tail, reason=Reason.NO_PROGRESS, detail=detail)
        oom_killed = count_oom_kills() > self._oom_kills
        verdict = judge_exit(code, oom_killed=oom_killed, advice=self._job.memory_advice)
        ending = Ending.LOST if verdict.worth_repeating else Ending.FAILED
        return Outcome(ending=ending, log_tail=log_tail, reason=verdict.reason, detail=verdict.detail)


def _renew_connection(*, broken: bool = False) -> None:
    """Drop a connection that is broken or too old; inside somebody's transaction it is not ours to drop."""
    if connection.in_atomic_block:
        return
    if broken:
        connection.close()
    else:
        close_old_connections()


def engine_environment() -> dict[str, str]:
    """Variables that let the engine be found from any folder and say where it crashed."""
    paths = [str(settings.BASE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}

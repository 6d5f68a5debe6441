"""What the tests of faults share: waiting, finding processes, reading a job's history."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil
from celery import current_app

from tests.installation import Program
from training.engine.events import Event
from training.jobs import Job
from training.models import TrainingRun
from training.supervisor import Timings
from training.sweeper import sweep
from training.transitions import Transition

LEASE_SECONDS = 2
PATIENCE_SECONDS = 180.0  # for a machine that does much else
QUICK = Timings(poll=0.05, heartbeat=0.2, lease=2.0, grace=1.0, progress=20.0)


def wait_for(what: Callable[[], object], *, program: Program | None = None, sweeping: bool = False) -> None:
    """Wait until something is so, sweeping meanwhile when asked to; a failure shows the program's log."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, program.read_log() if program else "It did not come to be."
        if sweeping:
            sweep()
        time.sleep(0.05)


def wait_for_run(run: TrainingRun, *, program: Program | None = None, sweeping: bool = False, **fields: object) -> None:
    """Wait until a run's row matches, and take the row in."""
    wait_for(TrainingRun.objects.filter(pk=run.pk, **fields).exists, program=program, sweeping=sweeping)
    run.refresh_from_db()


def own_engines() -> list[psutil.Process]:
    """Return the stand-in engines that this process supervises."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("stub_engine.py" in part for part in child.cmdline()):
                found.append(child)
    return found


def at(kind: str, action: Callable[[], object], *, number: int = 1) -> Callable[[Event], None]:
    """Return a listener that acts at the `number`-th event of a kind."""
    seen: list[Event] = []

    def listen(event: Event) -> None:
        if event["event"] == kind:
            seen.append(event)
            if len(seen) == number:
                action()

    return listen


def history(job: Job) -> list[tuple[str, int]]:
    """Return the causes of a job's changes with their fences, without its request."""
    return [(change.cause, change.fence) for change in Transition.objects.of(job) if change.from_status]


def epochs_of(run: TrainingRun) -> list[int]:
    """Return the epochs that a run has rows of."""
    return list(run.epochs.values_list("epoch", flat=True))


def count_messages(queue: str = "training") -> int:
    """Return how many messages wait in one of Celery's queues, and take them out."""
    with current_app.connection_for_read() as connection:
        return int(connection.SimpleQueue(queue).clear() or 0)

"""Many workers want one job: at the same instant, by messages that came twice, or after one of them was asleep."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from django.db import connection
from pytest_django import Settings

from tests.effects import audit_effects
from tests.factories import DatasetImportFactory
from tests.faults.helpers import QUICK, history, wait_for, wait_for_run
from tests.fixtures import StubEngine
from tests.installation import Installation
from training.checkpoints import is_sound
from training.choices import Cause, JobStatus
from training.doorbell import EXECUTE_RUN, ring
from training.models import DatasetImport, ModelVersion, TrainingRun
from training.recording import ignore_event
from training.run_work import RunWork
from training.runner import execute_run
from training.storage import RUNS, artifacts

pytestmark = pytest.mark.django_db(transaction=True)

DELIVERIES = 8
ROUNDS = 20

_T = TypeVar("_T")


def together(count: int, act: Callable[[], _T]) -> list[_T]:
    """Call `act` in so many threads at the same instant, each with a connection of its own."""
    barrier = threading.Barrier(count)

    def wait_and_act() -> _T:
        try:
            barrier.wait()
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(wait_and_act) for _number in range(count)]]


def test_of_two_claims_in_the_same_instant_one_wins() -> None:
    for _round in range(ROUNDS):
        job = DatasetImportFactory.create()
        claims = together(2, lambda pk=job.pk: DatasetImport.claim(pk, worker="somebody"))  # type: ignore[misc]
        assert [claim.fence for claim in claims if claim is not None] == [1]
        job.refresh_from_db()
        assert (job.status, job.fence, job.attempts) == (JobStatus.RUNNING, 1, 1)
        assert history(job) == [(Cause.CLAIMED, 1)]


@pytest.mark.usefixtures("artifacts_root")
def test_eight_deliveries_at_once_do_the_work_once(
    run: TrainingRun, stub_engine: StubEngine, settings: Settings
) -> None:
    settings.TRAINING_SLOTS = DELIVERIES  # a place for each: only the claim is in their way
    stub_engine.behave("ok", seconds=0.1)
    events: list[str] = []
    listen = lambda event: events.append(event["event"])  # noqa: E731
    together(DELIVERIES, lambda: execute_run(run.pk, timings=QUICK, listener=listen))
    run.refresh_from_db()
    assert (run.status, events.count("started"), events.count("finished")) == (JobStatus.SUCCEEDED, 1, 1)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]
    assert ModelVersion.objects.count() == 1


@pytest.mark.usefixtures("artifacts_root")
def test_a_lost_engine_that_lives_on_takes_no_checkpoint_away(run: TrainingRun, stub_engine: StubEngine) -> None:
    """Its supervisor was stopped and it was not: it goes on, and removes old checkpoints as it does."""
    stub_engine.behave("killed")
    execute_run(run.pk, timings=QUICK)
    second = TrainingRun.claim(run.pk, worker="other")
    assert second is not None
    command = RunWork(second, listener=ignore_event).prepare()
    resumed_from = Path(command[command.index("--resume") + 1])
    shutil.rmtree(artifacts(RUNS, run.pk, 1))
    assert is_sound(resumed_from)
    assert resumed_from == artifacts(RUNS, run.pk, 2, "checkpoints", "step-00000010")


@pytest.mark.integration
def test_a_supervisor_that_slept_longer_than_its_lease_writes_nothing_more(
    long_run: TrainingRun, installation: Installation
) -> None:
    sleeper = installation.start_worker("sleeper")
    ring(EXECUTE_RUN, long_run.pk)
    wait_for_run(long_run, program=sleeper, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    [supervisor], [engine] = sleeper.children(), sleeper.engines()
    os.kill(supervisor.pid, signal.SIGSTOP)
    other = installation.start_worker("other")
    wait_for_run(long_run, program=other, sweeping=True, fence=2, status=JobStatus.RUNNING)
    os.kill(supervisor.pid, signal.SIGCONT)
    wait_for(lambda: "was taken from this worker" in sleeper.read_log(), program=sleeper)
    wait_for_run(long_run, program=other, status=JobStatus.SUCCEEDED)
    assert not engine.is_running()
    assert history(long_run) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    effects = audit_effects(runs=[long_run.pk], is_expected=lambda _job: False)
    assert (effects.lost, effects.duplicated, effects.illegal) == ([], [], [])

"""Processes that are killed: the engine, its supervisor, the worker together with the broker."""

from __future__ import annotations

import pytest

from tests.effects import audit_effects
from tests.faults.helpers import QUICK, at, epochs_of, history, own_engines, wait_for, wait_for_run
from tests.fixtures import StubEngine
from tests.installation import Installation
from training.choices import Cause, JobStatus
from training.doorbell import EXECUTE_RUN, ring
from training.models import TrainingRun
from training.runner import execute_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.usefixtures("artifacts_root")
def test_an_engine_killed_in_the_middle_of_an_epoch(run: TrainingRun, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=0.3)

    def kill() -> None:
        own_engines()[0].kill()  # it is in epoch 2 by now

    execute_run(run.pk, timings=QUICK, listener=at("checkpoint", kill))
    run.refresh_from_db()
    assert (run.status, run.checkpoint_step, epochs_of(run)) == (JobStatus.QUEUED, 10, [1])
    stub_engine.behave("ok")
    execute_run(run.pk, timings=QUICK)
    run.refresh_from_db()
    assert (run.status, epochs_of(run)) == (JobStatus.SUCCEEDED, [1, 2, 3])
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.LOST, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]


@pytest.mark.integration
def test_a_killed_supervisor_takes_its_engine_along_and_the_run_goes_on(
    run: TrainingRun, installation: Installation
) -> None:
    worker = installation.start_worker("one")
    ring(EXECUTE_RUN, run.pk)
    wait_for_run(run, program=worker, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    [supervisor], [engine] = worker.children(), worker.engines()
    supervisor.kill()
    engine.wait(timeout=10)
    wait_for_run(run, program=worker, sweeping=True, status=JobStatus.SUCCEEDED)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    assert_every_effect_once(run)


@pytest.mark.integration
def test_worker_and_broker_killed_together(run: TrainingRun, installation: Installation) -> None:
    first = installation.start_worker("one")
    ring(EXECUTE_RUN, run.pk)
    wait_for_run(run, program=first, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    first.kill()
    installation.broker.kill()
    wait_for(lambda: not TrainingRun.objects.get().lease_until or TrainingRun.objects.expired().exists())
    installation.broker.start()
    second = installation.start_worker("one")
    wait_for_run(run, program=second, sweeping=True, status=JobStatus.SUCCEEDED)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    assert_every_effect_once(run)


def assert_every_effect_once(run: TrainingRun) -> None:
    effects = audit_effects(runs=[run.pk], is_expected=lambda _job: False)
    assert (effects.lost, effects.duplicated, effects.illegal) == ([], [], [])

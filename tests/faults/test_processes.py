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
from training.recording import RunRecorder
from training.runner import execute_run
from training.storage import RUNS, artifacts

pytestmark = pytest.mark.django_db(transaction=True)


def kill_engine() -> None:
    own_engines()[0].kill()


@pytest.mark.usefixtures("artifacts_root")
def test_an_engine_killed_in_the_middle_of_an_epoch(run: TrainingRun, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=1.0)
    execute_run(run.pk, timings=QUICK, listener=at("checkpoint", kill_engine))  # it is in epoch 2 by then
    run.refresh_from_db()
    assert (run.status, run.checkpoint_step, epochs_of(run)) == (JobStatus.QUEUED, 10, [1])
    stub_engine.behave("ok")
    execute_run(run.pk, timings=QUICK)
    run.refresh_from_db()
    assert (run.status, epochs_of(run)) == (JobStatus.SUCCEEDED, [1, 2, 3])
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.LOST, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]


@pytest.mark.usefixtures("artifacts_root")
def test_epochs_that_were_lost_with_their_supervisor_are_trained_again(
    run: TrainingRun, stub_engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their checkpoints are on the disk, their figures nowhere: who went on from there would leave a gap."""
    stub_engine.behave("ok", seconds=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "flush", lambda _recorder: None)  # it is killed before it writes
        execute_run(run.pk, timings=QUICK, listener=at("checkpoint", kill_engine, number=2))
    run.refresh_from_db()
    assert (run.status, run.checkpoint, epochs_of(run)) == (JobStatus.QUEUED, "", [])
    assert len(list(artifacts(RUNS, run.pk).glob("*/checkpoints/step-*"))) >= 2
    execute_run(run.pk, timings=QUICK)
    run.refresh_from_db()
    assert (run.status, epochs_of(run)) == (JobStatus.SUCCEEDED, [1, 2, 3])


@pytest.mark.integration
def test_a_killed_supervisor_takes_its_engine_along_and_the_run_goes_on(
    long_run: TrainingRun, installation: Installation
) -> None:
    worker = installation.start_worker("one")
    ring(EXECUTE_RUN, long_run.pk)
    wait_for_run(long_run, program=worker, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    [supervisor], [engine] = worker.children(), worker.engines()
    supervisor.kill()
    engine.wait(timeout=10)
    wait_for_run(long_run, program=worker, sweeping=True, status=JobStatus.SUCCEEDED)
    assert history(long_run) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    assert_every_effect_once(long_run)


@pytest.mark.integration
def test_worker_and_broker_killed_together(long_run: TrainingRun, installation: Installation) -> None:
    first = installation.start_worker("one")
    ring(EXECUTE_RUN, long_run.pk)
    wait_for_run(long_run, program=first, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    first.kill()
    installation.broker.kill()
    wait_for(lambda: not TrainingRun.objects.get().lease_until or TrainingRun.objects.expired().exists())
    installation.broker.start()
    second = installation.start_worker("one")
    wait_for_run(long_run, program=second, sweeping=True, status=JobStatus.SUCCEEDED)
    assert history(long_run) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]
    assert_every_effect_once(long_run)


def assert_every_effect_once(run: TrainingRun) -> None:
    effects = audit_effects(runs=[run.pk], is_expected=lambda _job: False)
    assert (effects.lost, effects.duplicated, effects.illegal) == ([], [], [])

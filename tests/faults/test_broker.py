"""The broker restarts, forgets everything, or is away when somebody asks for a run."""

from __future__ import annotations

import time

import pytest

from tests.factories import DatasetFactory, TrainingRunFactory, make_config
from tests.faults.helpers import count_messages, history, wait_for_run
from tests.installation import Broker, Installation
from training.choices import Cause, JobStatus
from training.doorbell import EXECUTE_RUN, ring
from training.models import TrainingRun
from training.services import request_run
from training.sweeper import sweep

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.integration
def test_a_restart_disturbs_no_run_and_the_next_one_starts(run: TrainingRun, installation: Installation) -> None:
    worker = installation.start_worker("one")
    ring(EXECUTE_RUN, run.pk)
    wait_for_run(run, program=worker, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    installation.broker.stop()
    later = TrainingRunFactory.create(config=make_config(epochs=1))
    installation.broker.start()
    wait_for_run(run, program=worker, status=JobStatus.SUCCEEDED)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]
    wait_for_run(later, program=worker, sweeping=True, status=JobStatus.SUCCEEDED)


@pytest.mark.usefixtures("artifacts_root")
def test_what_a_broker_forgets_is_rung_for_again(run: TrainingRun, broker: Broker) -> None:
    ring(EXECUTE_RUN, run.pk)
    sweep()  # remembers that it rang
    broker.flush()
    assert count_messages() == 0
    sweep()
    assert count_messages() == 1


@pytest.mark.usefixtures("artifacts_root")
def test_a_run_is_accepted_while_the_broker_is_down(broker: Broker) -> None:
    broker.kill()
    dataset = DatasetFactory.create()
    start = time.monotonic()
    run = request_run(owner=None, dataset=dataset, recipe="fast", overrides={})
    assert time.monotonic() - start < 2
    assert (run.status, run.bell and run.bell.was_heard) == (JobStatus.QUEUED, False)
    sweep()  # finds no cache and no broker, and breaks nothing
    broker.start()
    sweep()
    assert count_messages() == 1

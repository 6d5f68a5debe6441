"""Machines whose clock is two hours off: only the database's clock counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.conf import settings
from django.utils import timezone

from tests.factories import TrainingRunFactory, make_config
from tests.faults.helpers import LEASE_SECONDS, history, wait_for_run
from tests.installation import Installation
from training.choices import Cause, JobStatus
from training.doorbell import EXECUTE_RUN, SWEEP, ring
from training.models import TrainingRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

TWO_HOURS = 7200


def call_for_sweep() -> None:
    """Do what beat does."""
    with current_app.connection_for_write() as connection:
        options = settings.CELERY_BEAT_SCHEDULE["sweep"].get("options", {})
        current_app.send_task(SWEEP, connection=connection, **options)


@pytest.mark.parametrize("seconds_off", [TWO_HOURS, -TWO_HOURS])
def test_a_worker_whose_clock_is_wrong(run: TrainingRun, installation: Installation, seconds_off: int) -> None:
    lost = TrainingRunFactory.create(config=make_config(epochs=1))
    assert TrainingRun.claim(lost.pk, worker="gone") is not None
    worker = installation.start_worker(
        "off", queues="training,default", environment={"STUB_CLOCK_SECONDS": str(seconds_off)}
    )
    ring(EXECUTE_RUN, run.pk)
    wait_for_run(run, program=worker, checkpoint_step__gt=0, status=JobStatus.RUNNING)
    assert run.lease_until is not None
    assert timedelta() < run.lease_until - timezone.now() <= timedelta(seconds=LEASE_SECONDS)
    wait_for_run(run, program=worker, status=JobStatus.SUCCEEDED)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]  # its own sweeps do not take it from itself
    call_for_sweep()  # the other run's lease has expired by now, whatever this worker's clock says
    wait_for_run(lost, program=worker, status=JobStatus.SUCCEEDED)
    assert history(lost) == [(Cause.CLAIMED, 1), (Cause.LEASE_EXPIRED, 1), (Cause.CLAIMED, 2), (Cause.SUCCEEDED, 2)]

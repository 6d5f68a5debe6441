"""Ends that somebody else brings about: a cancel while the result is being made, an engine that stands still."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.helpers import QUICK, at, epochs_of, history, own_engines
from tests.fixtures import StubEngine
from training.choices import Cause, JobStatus, Reason
from training.models import ModelVersion, TrainingRun
from training.runner import execute_run
from training.supervisor import Timings

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("artifacts_root", "short_leases"),
]


def test_a_cancel_while_the_result_is_being_made(run: TrainingRun, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=0.2)
    cancel = lambda: TrainingRun.request_cancel(run.pk)  # noqa: E731
    execute_run(run.pk, timings=QUICK, listener=at("progress", cancel))
    run.refresh_from_db()
    assert (run.status, epochs_of(run), run.checkpoint_step) == (JobStatus.CANCELLED, [1, 2, 3], 30)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.CANCELLED, 1)]
    assert not ModelVersion.objects.exists()


def test_a_cancel_that_comes_after_the_result_is_too_late(run: TrainingRun, stub_engine: StubEngine) -> None:
    cancel = lambda: TrainingRun.request_cancel(run.pk)  # noqa: E731
    execute_run(run.pk, timings=QUICK, listener=at("finished", cancel))
    run.refresh_from_db()
    assert (run.status, ModelVersion.objects.count()) == (JobStatus.SUCCEEDED, 1)
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]


def test_an_engine_that_stands_still_while_its_lease_is_renewed(run: TrainingRun, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=0.2)
    patience = Timings(poll=0.05, heartbeat=0.2, lease=2.0, grace=1.0, progress=3.0)
    start = time.monotonic()
    stop = lambda: os.kill(own_engines()[0].pid, signal.SIGSTOP)  # noqa: E731
    execute_run(run.pk, timings=patience, listener=at("checkpoint", stop))
    run.refresh_from_db()
    assert time.monotonic() - start > 3  # longer than a lease, which therefore was renewed
    assert (run.status, run.reason, epochs_of(run)) == (JobStatus.FAILED, Reason.NO_PROGRESS, [1])
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.FAILED, 1)]
    assert own_engines() == []

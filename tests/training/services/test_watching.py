"""How workers, queues and canaries are told to be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from tests.factories import DatasetImportFactory, TrainingRunFactory, UserFactory
from training.choices import Cause, JobStatus, QueueName
from training.models import Canary, JobQueue, Transition, Worker
from training.services import watching
from training.services.watching import CanaryReport, CurrentJob, may_watch, report_queues, report_workers

pytestmark = pytest.mark.django_db


def make_worker(name: str = "training@here", *, silent_seconds: float = 0, **fields: Any) -> Worker:
    now = timezone.now()
    seen = now - timedelta(seconds=silent_seconds)
    worker: Worker = Worker.objects.create(name=name, started_at=now, last_seen_at=seen, **fields)
    return worker


def test_a_worker_is_stale_after_three_missed_reports() -> None:
    make_worker("a", silent_seconds=10)
    make_worker("b", silent_seconds=300)
    fresh, stale = report_workers()
    assert (fresh.name, fresh.is_stale, stale.name, stale.is_stale) == ("a", False, "b", True)
    assert stale.heartbeat_age_seconds == pytest.approx(300, abs=20)


def test_a_clock_that_is_ahead_gives_no_negative_age() -> None:
    make_worker(silent_seconds=-3600)
    assert report_workers()[0].heartbeat_age_seconds == 0.0


@pytest.mark.parametrize(
    ("fields", "device"),
    [
        ({}, "CPU"),
        ({"gpu_name": "NVIDIA A100"}, "NVIDIA A100"),  # as a worker of an earlier version reports itself
        (
            {"gpus": [{"name": name, "used_bytes": 1, "total_bytes": 2} for name in ("NVIDIA H200", "NVIDIA A100")]},
            "NVIDIA H200, NVIDIA A100",
        ),
    ],
)
def test_its_device(fields: dict[str, Any], device: str) -> None:
    make_worker(**fields)
    assert report_workers()[0].device == device


def test_its_jobs_are_those_whose_rows_name_one_of_its_processes() -> None:
    make_worker()
    make_worker("training@there")
    run = TrainingRunFactory.create(
        status=JobStatus.RUNNING, worker="training@here:41", progress_done=1, progress_total=4
    )
    job = DatasetImportFactory.create(status=JobStatus.RUNNING, worker="training@here:42")
    TrainingRunFactory.create(status=JobStatus.FAILED, worker="training@here:41")
    TrainingRunFactory.create(status=JobStatus.RUNNING, worker="training@elsewhere:41")
    here, there = report_workers()
    assert here.jobs == [
        CurrentJob(kind="datasetimport", id=job.pk, name=str(job), percent=0),
        CurrentJob(kind="trainingrun", id=run.pk, name=f"Run {run.pk}", percent=25),
    ]
    assert there.jobs == []


def test_waiting_is_counted_from_the_last_time_a_job_was_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "count_messages", lambda _queue: 4)
    run = TrainingRunFactory.create()
    DatasetImportFactory.create()
    TrainingRunFactory.create(status=JobStatus.RUNNING)
    now = timezone.now()
    for hours, source, cause in ((5, "", Cause.REQUESTED), (1, "running", Cause.RELEASED)):
        Transition.objects.create(
            job_kind="trainingrun", job_pk=run.pk, from_status=source, to_status="queued", cause=cause,
            at=now - timedelta(hours=hours),
        )  # fmt: skip
    JobQueue.objects.create(name=QueueName.TRAINING, paused_at=now)
    training, inference, default, deliveries = report_queues()
    assert (training.name, training.waiting, training.messages, training.is_paused) == ("training", 2, 4, True)
    assert training.oldest_seconds == pytest.approx(3600, abs=30)
    assert training.canary is None
    assert (inference.name, inference.waiting, inference.oldest_seconds) == ("inference", 0, None)
    assert (default.name, default.is_paused, default.canary) == ("default", False, CanaryReport())
    assert (deliveries.name, deliveries.messages, deliveries.canary) == ("deliveries", 4, None)


def test_the_newest_canary_counts() -> None:
    now = timezone.now()
    for minutes in (9, 3, 5):
        ran_at = now - timedelta(minutes=minutes)
        Canary.objects.create(queue="default", sent_at=ran_at - timedelta(seconds=minutes), ran_at=ran_at)
    report = watching.report_canaries()["default"]
    assert report.age_seconds == pytest.approx(180, abs=20)
    assert report.round_trip_seconds == 3.0


@pytest.mark.parametrize(("age", "is_late"), [(None, False), (100.0, False), (181.0, True)])
def test_a_canary_is_late_when_three_have_not_come(age: float | None, is_late: bool) -> None:
    assert CanaryReport(age_seconds=age).is_late is is_late


def test_staff_and_operators_may_watch() -> None:
    assert may_watch(UserFactory.create(is_staff=True))
    assert may_watch(UserFactory.create(groups=["operator"]))
    assert not may_watch(UserFactory.create(groups=["trainer"]))
    assert not may_watch(AnonymousUser())  # type: ignore[arg-type]  # what a page's request has instead of a user

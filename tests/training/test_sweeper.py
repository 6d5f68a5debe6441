"""What keeps jobs moving when something is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import Settings
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.factories import DatasetFactory, DatasetImportFactory, ModelVersionFactory, TrainingRunFactory
from training import sweeper
from training.choices import ImportSource, JobStatus, QueueName, Reason
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN, MIRROR_CHAMPION, MIRROR_RUN
from training.jobs import MAX_ATTEMPTS, Job
from training.models import DatasetImport, Promotion, TrainingRun, Worker
from training.services import pause_queue
from training.sweeper import sweep, sweep_if_due

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture(autouse=True)
def _forgetful_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What waits in the broker's queue."""
    waiting: list[str] = []
    monkeypatch.setattr(sweeper, "count_messages", lambda _queue: len(waiting))
    return waiting


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    bells: list[tuple[str, int]] = []
    monkeypatch.setattr(sweeper, "ring", lambda task, pk: bells.append((task, pk)))
    return bells


def expire(job: Job) -> None:
    type(job).objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def pretend_earlier(run: TrainingRun) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(minutes=2))


def test_queued_jobs_are_rung_for_but_not_again_at_once(rung: list[tuple[str, int]]) -> None:
    run, job = TrainingRunFactory.create(), DatasetImportFactory.create()
    TrainingRunFactory.create(status=JobStatus.RUNNING, lease_until=timezone.now() + timedelta(seconds=9))
    TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
    sweep()
    sweep()
    assert rung == [(EXECUTE_IMPORT, job.pk), (EXECUTE_RUN, run.pk)]


def test_a_job_whose_message_waits_still_is_not_rung_for(rung: list[tuple[str, int]], messages: list[str]) -> None:
    runs = TrainingRunFactory.create_batch(3)
    messages[:] = ["one", "another"]
    sweep()
    assert rung == [(EXECUTE_RUN, runs[0].pk)]
    messages.append("this one")
    sweep()
    assert len(rung) == 1


def test_a_job_that_may_not_start_is_not_rung_for(rung: list[tuple[str, int]]) -> None:
    first = TrainingRunFactory.create()
    TrainingRunFactory.create(after=first)
    sweep()
    assert rung == [(EXECUTE_RUN, first.pk)]
    pause_queue(name=QueueName.TRAINING, by=None)
    cache.clear()
    sweep()
    assert len(rung) == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_run_whose_predecessor_did_not_succeed_is_cancelled_and_says_so(status: JobStatus) -> None:
    first = TrainingRunFactory.create(status=status)
    second = TrainingRunFactory.create(after=first)
    third = TrainingRunFactory.create(after=second)
    sweep()
    sweep()
    for run in (second, third):
        run.refresh_from_db()
        assert (run.status, run.reason) == (JobStatus.CANCELLED, Reason.DEPENDENCY)
    assert second.detail == f"Run {first.pk}, which it was to follow, did not succeed."


def test_without_the_broker_nobody_is_rung_and_the_rest_is_done(
    rung: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_queue: str) -> int:
        raise OperationalError

    monkeypatch.setattr(sweeper, "count_messages", fail)
    TrainingRunFactory.create()
    lost = TrainingRunFactory.create(status=JobStatus.RUNNING)
    expire(lost)
    sweep()
    lost.refresh_from_db()
    assert (lost.status, rung) == (JobStatus.QUEUED, [])


def test_a_lost_message_is_rung_again_later(rung: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "RING_AGAIN_SECONDS", 1)
    run = TrainingRunFactory.create()
    sweep()
    time.sleep(1.1)
    sweep()
    assert rung == [(EXECUTE_RUN, run.pk)] * 2


def test_a_lost_worker_is_replaced_at_once(rung: list[tuple[str, int]]) -> None:
    run = TrainingRunFactory.create()
    sweep()
    assert TrainingRun.claim(run.pk, worker="lost") is not None
    expire(run)
    sweep()
    run.refresh_from_db()
    assert (run.status, run.attempts) == (JobStatus.QUEUED, 1)
    assert rung == [(EXECUTE_RUN, run.pk)] * 2


def test_without_the_cache_nobody_is_rung_and_nothing_breaks(
    rung: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RedisConnectionError

    TrainingRunFactory.create()
    monkeypatch.setattr(cache, "add", fail)
    sweep()
    assert rung == []


class TestMirror:
    @pytest.fixture(autouse=True)
    def _tracked(self, settings: Settings, artifacts_root: Path) -> None:
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"

    def test_a_run_that_its_worker_did_not_end_is_told_within_minutes(self, rung: list[tuple[str, int]]) -> None:
        lost = TrainingRunFactory.create(mlflow_state="RUNNING", attempts=MAX_ATTEMPTS - 1)
        assert TrainingRun.claim(lost.pk, worker="lost") is not None
        expire(lost)
        sweep()
        assert rung == []  # a minute is left to whoever ended it
        pretend_earlier(lost)
        cache.clear()
        sweep()
        sweep()
        assert rung == [(MIRROR_RUN, lost.pk)]

    def test_one_that_waits_for_a_worker_again_is_told_at_once(self, rung: list[tuple[str, int]]) -> None:
        lost = TrainingRunFactory.create(mlflow_state="RUNNING")
        assert TrainingRun.claim(lost.pk, worker="lost") is not None
        expire(lost)
        sweep()
        assert rung == [(EXECUTE_RUN, lost.pk), (MIRROR_RUN, lost.pk)]

    def test_several_take_turns(self, rung: list[tuple[str, int]]) -> None:
        runs = TrainingRunFactory.create_batch(2, status=JobStatus.CANCELLED, fence=1, finished_at=timezone.now())
        for run in runs:
            pretend_earlier(run)
        for _minute in range(60):
            cache.clear()
            sweep()
        assert len(rung) == 60
        assert set(rung) == {(MIRROR_RUN, run.pk) for run in runs}

    def test_only_the_newest_promotion_is_told(self, rung: list[tuple[str, int]]) -> None:
        version = ModelVersionFactory.create()
        long_ago = timezone.now() - timedelta(hours=1)
        promotions = [Promotion.objects.create(version=version) for _time in range(2)]
        Promotion.objects.update(at=long_ago)
        sweep()
        assert rung == [(MIRROR_CHAMPION, promotions[1].pk)]
        Promotion.objects.update(is_mirrored=True)
        Promotion.objects.create(version=version)  # somebody rang for this one just now
        cache.clear()
        sweep()
        assert len(rung) == 1

    def test_nothing_is_told_where_nothing_is_tracked(self, rung: list[tuple[str, int]], settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = ""
        pretend_earlier(TrainingRunFactory.create(status=JobStatus.FAILED, fence=1, finished_at=timezone.now()))
        sweep()
        assert rung == []


def test_a_queued_job_that_somebody_cancelled_ends() -> None:
    run = TrainingRunFactory.create(cancel_requested=True)
    sweep()
    run.refresh_from_db()
    assert run.status == JobStatus.CANCELLED
    assert run.finished_at is not None


def test_what_lost_imports_left_is_removed(artifacts_root: Path) -> None:
    def make(status: JobStatus) -> tuple[DatasetImport, Path, Path]:
        job = DatasetImportFactory.create(status=status, source=ImportSource.ARCHIVE, owns_source=True)
        job.source_path = f"uploads/of-{job.pk}"
        job.save()
        folder = artifacts_root / "imports" / str(job.pk) / "1"
        folder.mkdir(parents=True)
        upload = artifacts_root / job.source_path
        upload.parent.mkdir(exist_ok=True)
        upload.touch()
        return job, folder, upload

    ended, ended_folder, ended_upload = make(JobStatus.FAILED)
    _live, live_folder, live_upload = make(JobStatus.RUNNING)
    DatasetImport.objects.filter(status=JobStatus.RUNNING).update(lease_until=timezone.now() + timedelta(seconds=9))
    sweep()
    ended.refresh_from_db()
    assert ended.source_path == ""
    assert not ended_folder.parent.exists()
    assert not ended_upload.exists()
    assert live_folder.exists()
    assert live_upload.exists()


def test_a_dataset_that_no_row_names_goes_with_its_ended_import(artifacts_root: Path) -> None:
    ended = DatasetImportFactory.create(status=JobStatus.FAILED)
    known = DatasetFactory.create(location=f"datasets/{ended.pk}-2")
    for path in (f"imports/{ended.pk}/1", f"datasets/{ended.pk}-1", known.location, f"datasets/{ended.pk}0-1"):
        (artifacts_root / path).mkdir(parents=True)
    sweep()
    assert sorted(path.name for path in (artifacts_root / "datasets").iterdir()) == [f"{ended.pk}-2", f"{ended.pk}0-1"]


def test_an_upload_that_was_interrupted_is_removed_after_an_hour(artifacts_root: Path) -> None:
    uploads = artifacts_root / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "old").touch()
    (uploads / "new").touch()
    two_hours_ago = time.time() - 7200
    os.utime(uploads / "old", (two_hours_ago, two_hours_ago))
    sweep()
    assert [path.name for path in uploads.iterdir()] == ["new"]


def test_an_upload_under_way_survives_a_sweeper_whose_clock_is_ahead(
    artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = artifacts_root / "uploads" / "new"
    upload.parent.mkdir(parents=True)
    upload.touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    sweep()
    assert upload.exists()


def test_calls_that_piled_up_are_one_sweep(rung: list[tuple[str, int]]) -> None:
    for _call in range(3):
        TrainingRunFactory.create()
        sweep_if_due()
    assert len(rung) == 1  # the first sweep found one run; two more have come since


def test_without_the_cache_every_call_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(cache, "add", fail)
    lost = TrainingRunFactory.create()
    assert TrainingRun.claim(lost.pk, worker="lost") is not None
    for _call in range(2):
        expire(lost)
        sweep_if_due()
        lost.refresh_from_db()
        assert lost.status == JobStatus.QUEUED
        assert TrainingRun.claim(lost.pk, worker="lost") is not None


def test_a_worker_that_was_not_heard_of_for_a_day_is_forgotten() -> None:
    now = timezone.now()
    Worker.objects.create(name="old", started_at=now, last_seen_at=now - timedelta(days=2))
    Worker.objects.create(name="new", started_at=now, last_seen_at=now)
    sweep()
    assert list(Worker.objects.values_list("name", flat=True)) == ["new"]

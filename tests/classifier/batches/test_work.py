"""Batch jobs from request to the last row, in this process: what is accepted, answered, resumed and left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from cifarsite.accounts.models import User
from classifier.archives import ArchiveRejected, Survey, survey_archive
from classifier.batches import work
from classifier.batches.rows import RowWriter
from classifier.batches.services import cancel_batch, delete_batch, resume_batch
from classifier.inference import champion_slot
from classifier.models import BatchItem, BatchJob
from classifier.runner import execute_batch, execute_next_batch
from tests.api_fixtures import make_user
from tests.classifier.archive_makers import BROKEN, answers_of, pictures, request, tar_of, zip_of
from tests.tiny_model import crown, picture, register_version
from training.choices import Cause, JobStatus, ModelState, Reason
from training.devices import INFERENCE_PLACE, hold_place
from training.engine.constants import CIFAR10_CLASS_KEYS as KEYS
from training.exceptions import ServiceError
from training.models import ModelVersion, Transition
from training.retention import clean
from training.stopping import worker_stopping
from training.supervisor import Timings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def carry_out(job: BatchJob) -> BatchJob:
    execute_batch(job.pk)
    return BatchJob.objects.get(pk=job.pk)


def causes(job: BatchJob) -> list[str]:
    return [change.cause for change in Transition.objects.of(job)]


class TestRequest:
    def test_it_is_queued_with_its_archive(self, user: User, artifacts_root: Path) -> None:
        data = zip_of(pictures(3))
        job = request(user, data, name="../Ünï<script>.zip")
        [stored] = (artifacts_root / "uploads").iterdir()
        assert (job.status, job.queue, job.progress_total) == ("queued", "inference", 3)
        assert (job.archive, job.archive_bytes) == (f"uploads/{stored.name}", len(data))
        assert stored.read_bytes() == data
        assert (job.name, str(job)) == ("Ünï<script>.zip", f"Batch {job.pk}")

    @pytest.mark.parametrize("data", [b"", b"no archive", zip_of({}), zip_of({"../x.png": b"1"})])
    def test_what_is_refused_leaves_nothing(self, user: User, artifacts_root: Path, data: bytes) -> None:
        with pytest.raises(ArchiveRejected):
            request(user, data)
        assert not BatchJob.objects.exists()
        assert list((artifacts_root / "uploads").iterdir()) == []

    def test_too_large_an_archive(self, user: User, settings: Settings, artifacts_root: Path) -> None:
        settings.ARCHIVE_MAX_BYTES = 10
        with pytest.raises(ArchiveRejected) as caught:
            request(user, pictures(1))
        assert caught.value.status == 413
        assert not artifacts_root.exists()

    def test_one_person_has_so_many_at_a_time(self, user: User, settings: Settings) -> None:
        settings.BATCH_JOBS_PER_USER = 2
        first, _second = request(user, pictures(1)), request(user, pictures(1))
        with pytest.raises(ServiceError, match="You have 2 batches under way"):
            request(user, pictures(1))
        request(make_user("bob"), pictures(1))
        cancel_batch(job=first, by=user)
        request(user, pictures(1))

    def test_no_file_is_left_when_the_row_cannot_be_written(
        self, user: User, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: object, **_options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(BatchJob, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            request(user, pictures(1))
        assert list((artifacts_root / "uploads").iterdir()) == []

    def test_without_a_broker_it_is_accepted_and_says_so(
        self,
        user: User,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        from celery import current_app

        def refuse(**_options: object) -> None:
            raise OperationalError

        monkeypatch.setattr(current_app, "connection_for_write", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            job = request(user, pictures(1))
        assert job.bell is not None
        assert (job.status, job.bell.was_heard) == ("queued", False)


class TestWork:
    @pytest.mark.parametrize("pack", [zip_of, tar_of, lambda files: tar_of(files, mode="w:gz")])
    def test_every_picture_is_answered_once_and_in_order(
        self, user: User, champion: ModelVersion, pack: Callable[[dict[str, bytes]], bytes]
    ) -> None:
        job = carry_out(request(user, pack(pictures(150))))
        assert (job.status, job.progress_done, job.progress_total, job.error_count) == ("succeeded", 150, 150, 0)
        assert answers_of(job) == [(number, KEYS[number % 10], "") for number in range(150)]
        assert (job.model_version, job.model_sha256) == (champion, champion.package_sha256)
        assert job.items_per_second is not None
        assert job.items_per_second > 0
        assert (job.lease_until, job.metrics) == (None, {})
        item = job.items.get(index=3)
        assert (item.name, item.class_id, item.out_of_distribution) == ("00003.png", 3, False)
        assert item.probabilities is not None
        assert item.confidence == item.probabilities[3] == max(item.probabilities)
        assert sum(item.probabilities) == pytest.approx(1, abs=1e-5)

    def test_a_picture_that_cannot_be_read_is_an_error_of_its_own(self, user: User, champion: ModelVersion) -> None:
        files = {
            "a.png": picture(1),
            "b.png": BROKEN,
            "c.txt": b"text",
            "d.png": b"",
            "e.png": picture((170, 170, 170)),
        }
        job = carry_out(request(user, files))
        assert (job.status, job.error_count) == ("succeeded", 3)
        assert answers_of(job)[1:4] == [(1, "", "broken"), (2, "", "not_an_image"), (3, "", "empty")]
        assert job.items.get(index=1).error_detail == "The picture is damaged or incomplete."
        assert job.items.get(index=4).out_of_distribution is True

    def test_a_message_that_comes_twice_changes_nothing(self, user: User, champion: ModelVersion) -> None:
        job = carry_out(request(user, pictures(3)))
        for _delivery in range(8):
            execute_batch(job.pk)
            execute_next_batch()
        assert BatchItem.objects.count() == 3
        assert causes(job) == [Cause.REQUESTED, Cause.CLAIMED, Cause.SUCCEEDED]

    def test_the_turn_decides_and_one_is_carried_out_at_a_time(self, user: User, champion: ModelVersion) -> None:
        first, second = request(user, pictures(1)), request(user, pictures(1))
        with hold_place(INFERENCE_PLACE):
            execute_next_batch()
        assert not BatchJob.objects.exclude(status="queued").exists()
        execute_next_batch()
        assert list(BatchJob.objects.filter(status="succeeded").values_list("pk", flat=True)) == [first.pk]
        execute_next_batch()
        assert BatchJob.objects.get(pk=second.pk).status == "succeeded"

    def test_it_goes_on_where_it_stopped_with_the_same_model(
        self, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = request(user, pictures(40))
        monkeypatch.setattr(work, "ROWS", 1)
        stop_after(monkeypatch, writes=2)
        job = carry_out(job)
        assert (job.status, job.attempts) == ("queued", 0)
        written = job.progress_done
        assert 0 < written < 40
        assert job.items.count() == written
        monkeypatch.undo()
        worker_stopping.clear()
        crown(register_version(shift=1))
        champion_slot.forget()
        job = carry_out(job)
        assert (job.status, job.model_version, job.fence) == ("succeeded", champion, 2)
        assert answers_of(job) == [(number, KEYS[number % 10], "") for number in range(40)]
        assert causes(job) == [Cause.REQUESTED, Cause.CLAIMED, Cause.RELEASED, Cause.CLAIMED, Cause.SUCCEEDED]

    def test_who_lost_it_writes_nothing_more(
        self, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = request(user, pictures(200))

        write = RowWriter.write

        def take_it_away_and_write(writer: RowWriter) -> None:
            BatchJob.objects.filter(pk=job.pk).update(fence=99)
            write(writer)

        monkeypatch.setattr(RowWriter, "write", take_it_away_and_write)
        execute_batch(job.pk)
        job.refresh_from_db()
        assert (job.status, job.fence, job.progress_done, job.items.count()) == ("running", 99, 0, 0)

    def test_cancelled_while_it_runs_it_keeps_its_answers(
        self, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = request(user, pictures(600))
        write = RowWriter.write

        def write_and_cancel(writer: RowWriter) -> None:
            write(writer)
            BatchJob.request_cancel(job.pk, by=user)

        monkeypatch.setattr(work, "ROWS", 1)
        monkeypatch.setattr(RowWriter, "write", write_and_cancel)
        execute_batch(job.pk, timings=Timings(poll=0.0))
        job = BatchJob.objects.get(pk=job.pk)
        assert (job.status, job.reason) == ("cancelled", "cancelled")
        assert 0 < job.progress_done < 600
        monkeypatch.undo()
        job = carry_out(resume_batch(job=job, by=user))
        assert (job.status, job.progress_done, job.items.count()) == ("succeeded", 600, 600)


def stop_after(monkeypatch: pytest.MonkeyPatch, *, writes: int) -> None:
    """Let the worker be told to shut down once so many transactions are written."""
    write, seen = RowWriter.write, []

    def write_and_stop(writer: RowWriter) -> None:
        write(writer)
        seen.append(writer)
        if len(seen) == writes:
            worker_stopping.set()

    monkeypatch.setattr(RowWriter, "write", write_and_stop)
    monkeypatch.setattr("classifier.batches.pipeline._MOST_PICTURES", 4)
    monkeypatch.setattr("classifier.batches.pipeline.BATCH", 2)


class TestModel:
    def test_without_a_model_it_waits_unclaimed(self, user: User) -> None:
        job = request(user, pictures(1))
        execute_next_batch()
        job.refresh_from_db()
        assert (job.status, job.fence) == ("queued", 0)
        register_version(state=ModelState.CHAMPION)
        champion_slot.forget()
        execute_next_batch()
        job.refresh_from_db()
        assert job.status == "succeeded"

    def test_it_begins_with_the_champion_of_that_moment(
        self, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("classifier.inference.CHECK_SECONDS", 0.0)
        assert carry_out(request(user, pictures(1))).model_version == champion
        other = register_version(shift=1)
        crown(other)
        assert carry_out(request(user, pictures(1))).model_version == other

    def test_it_fails_with_a_reason_when_its_model_is_gone(
        self, user: User, champion: ModelVersion, tmp_path: Path
    ) -> None:
        job = request(user, pictures(2))
        BatchJob.objects.filter(pk=job.pk).update(model_version=champion, model_sha256=champion.package_sha256)
        shutil.move(champion.path, tmp_path / "elsewhere")
        job = carry_out(job)
        assert (job.status, job.reason) == ("failed", Reason.BAD_PACKAGE)
        assert job.detail.startswith(f"Model {champion}, with which this batch began, cannot be loaded")
        shutil.move(tmp_path / "elsewhere", champion.path)
        assert carry_out(resume_batch(job=job, by=user)).status == "succeeded"


class TestArchive:
    def test_it_fails_with_a_reason_when_the_archive_is_gone(
        self, user: User, champion: ModelVersion, artifacts_root: Path
    ) -> None:
        job = request(user, pictures(2))
        (artifacts_root / job.archive).unlink()
        job = carry_out(job)
        assert (job.status, job.reason) == ("failed", Reason.BAD_ARCHIVE)
        assert job.detail == "The archive is not there any more. Send it again."

    def test_what_cannot_be_read_any_further_keeps_its_answers(
        self, user: User, champion: ModelVersion, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = request(user, tar_of(pictures(5)))
        file = artifacts_root / job.archive
        file.write_bytes(file.read_bytes()[: 2 * 1024 + 700])
        survey = Survey(5, survey_archive(file, seconds=0.0).labels)
        monkeypatch.setattr(work, "survey_archive", lambda _path, **_options: survey)
        job = carry_out(job)
        assert (job.status, job.reason) == ("failed", Reason.BAD_ARCHIVE)
        assert "cut short" in job.detail
        assert 0 < job.items.count() == job.progress_done < 5


class TestAfterwards:
    def test_a_live_one_is_not_deleted(self, user: User, champion: ModelVersion, artifacts_root: Path) -> None:
        job = request(user, pictures(2))
        with pytest.raises(ServiceError, match="has not ended: cancel it first"):
            delete_batch(job=job)
        job = carry_out(job)
        delete_batch(job=job)
        assert not BatchJob.objects.exists()
        assert not BatchItem.objects.exists()
        assert list((artifacts_root / "uploads").iterdir()) == []

    def test_only_what_failed_or_was_cancelled_goes_on(self, user: User, champion: ModelVersion) -> None:
        job = request(user, pictures(2))
        with pytest.raises(ServiceError, match="neither failed nor was it cancelled"):
            resume_batch(job=job, by=user)
        cancel_batch(job=job, by=user)
        with pytest.raises(ServiceError, match="has ended already"):
            cancel_batch(job=job, by=user)

    def test_archives_go_after_the_days_that_are_set(
        self, user: User, champion: ModelVersion, artifacts_root: Path, settings: Settings
    ) -> None:
        old, recent = carry_out(request(user, pictures(1))), request(user, pictures(1))
        cancel_batch(job=recent, by=user)
        ago = timezone.now() - timedelta(days=settings.BATCH_ARCHIVE_DAYS, seconds=1)
        BatchJob.objects.filter(pk=old.pk).update(finished_at=ago)
        assert [item.location for item in clean()] == [old.archive]
        assert [path.name for path in (artifacts_root / "uploads").iterdir()] == [recent.archive.split("/")[1]]
        old.refresh_from_db()
        assert (old.archive, old.items.count()) == ("", 1)

    def test_without_its_archive_it_cannot_go_on(self, user: User) -> None:
        job = request(user, pictures(1))
        cancel_batch(job=job, by=user)
        BatchJob.objects.filter(pk=job.pk).update(archive="")
        with pytest.raises(ServiceError, match="were removed meanwhile"):
            resume_batch(job=job, by=user)
        job.refresh_from_db()
        assert job.status == JobStatus.CANCELLED

    def test_the_sweeper_rings_for_a_batch_whose_message_was_lost(
        self, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from training import sweeper

        cache.clear()
        job = request(user, pictures(1))
        rung: list[tuple[str, int]] = []
        monkeypatch.setattr(sweeper, "ring", lambda task, pk: rung.append((task, pk)))
        monkeypatch.setattr(sweeper, "count_messages", lambda _queue: 0)
        sweeper.sweep()
        assert rung == [("classifier.execute_batch", job.pk)]

    def test_the_sweeper_takes_back_a_batch_whose_worker_is_gone(self, user: User) -> None:
        from training import sweeper

        job = request(user, pictures(1))
        BatchJob.claim(job.pk, worker="gone")
        BatchJob.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
        sweeper.sweep()
        job.refresh_from_db()
        assert (job.status, job.attempts) == ("queued", 1)

    def test_an_upload_that_a_batch_names_is_no_orphan(self, user: User, artifacts_root: Path) -> None:
        from training import sweeper

        job = request(user, pictures(1))

        os.utime(artifacts_root / job.archive, (0, 0))
        sweeper.sweep()
        assert (artifacts_root / job.archive).exists()


class TestLabels:
    def test_labelled_pictures_are_measured(self, user: User, champion: ModelVersion) -> None:
        files = {
            "test/cat/1.png": picture(3),
            "test/cat/2.png": picture(5),
            "test/dog/1.png": picture(5),
            "test/dog/bad.png": BROKEN,
            "other/x.png": picture(1),
            "labels.csv": b"name,label\nother/x.png,automobile\n",
        }
        job = carry_out(request(user, files))
        assert (job.status, job.labelled_count, job.error_count) == ("succeeded", 5, 1)
        metrics = job.metrics
        assert (metrics["count"], metrics["accuracy"]) == (4, 0.75)
        assert metrics["confusion_matrix"][3] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]
        assert metrics["per_class"][3] == {
            "class_key": "cat", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2
        }  # fmt: skip
        assert metrics["most_confused"] == [{"class_key": "cat", "predicted": "dog", "count": 1, "share": 0.5}]
        assert sum(row["count"] for row in metrics["reliability"]) == 4
        assert job.items.get(name="other/x.png").expected_key == "automobile"

    def test_a_list_that_cannot_be_read_refuses_the_archive(self, user: User) -> None:
        with pytest.raises(ArchiveRejected, match="bad_labels"):
            request(user, {"a.png": picture(), "labels.csv": b"\xff\xff"})

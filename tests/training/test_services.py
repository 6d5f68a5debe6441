"""What may be asked: runs, imports, promotions."""

from __future__ import annotations

import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    UserFactory,
    check_report,
    make_transfer_run,
)
from training import services
from training.choices import ImportSource, JobStatus, ModelState
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN, MIRROR_CHAMPION
from training.engine.exceptions import ConfigError
from training.exceptions import ClassesDifferError, CopiesRefusedError, NameTakenError, ServiceError
from training.models import Dataset, DatasetImport, ModelVersion, Promotion, TrainingRun, Worker
from training.services import (
    accept_copies,
    cancel_import,
    cancel_run,
    has_training_worker,
    may_cancel,
    promote_version,
    request_control,
    request_import,
    request_run,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    bells: list[tuple[str, int]] = []
    monkeypatch.setattr(services, "ring", lambda task, pk: bells.append((task, pk)))
    return bells


class TestRequestRun:
    def test_it_queues_the_recipe_with_what_was_changed(self, rung: list[tuple[str, int]]) -> None:
        owner, dataset = UserFactory.create(groups=["trainer"]), DatasetFactory.create()
        run = request_run(owner=owner, dataset=dataset, recipe="fast", overrides={"epochs": 3, "seed": 7})
        run.refresh_from_db()
        assert (run.owner, run.dataset, run.recipe, run.status) == (owner, dataset, "fast", JobStatus.QUEUED)
        assert (run.config["epochs"], run.config["seed"], run.config["batch_size"]) == (3, 7, 300)
        assert "dataset" not in run.config
        assert rung == [(EXECUTE_RUN, run.pk)]

    @pytest.mark.parametrize(
        ("overrides", "field"),
        [
            ({"epochs": -1}, "epochs"),
            ({"epochs": "two"}, "epochs"),
            ({"batch_size": 10**9}, "batch_size"),
            ({"learning_rate": float("nan")}, "learning_rate"),
            ({"surprise": 1}, "surprise"),
            ({"dataset": "/etc"}, "dataset"),
            ({"recipe": "slow"}, "recipe"),
            ({"name": "x"}, "name"),
        ],
    )
    def test_wrong_values_are_named(
        self, overrides: dict[str, object], field: str, rung: list[tuple[str, int]]
    ) -> None:
        with pytest.raises(ConfigError, match=field) as caught:
            request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides=overrides)
        assert caught.value.field == field
        assert not TrainingRun.objects.exists()
        assert rung == []

    def test_an_unknown_recipe_is_named(self) -> None:
        with pytest.raises(ConfigError, match="slow"):
            request_run(owner=None, dataset=DatasetFactory.create(), recipe="slow", overrides={})

    def test_a_full_disk_is_said_beforehand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(services, "free_bytes", lambda: 1024 * 1024)
        with pytest.raises(ServiceError, match=r"almost full: 1.0.MB are free, 512.0.MB"):
            request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides={})

    def test_a_caller_that_does_the_work_itself_wakes_nobody(self, rung: list[tuple[str, int]]) -> None:
        request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides={}, announce=False)
        assert rung == []


class TestCopies:
    @pytest.fixture
    def leaky(self) -> Dataset:
        dataset: Dataset = DatasetFactory.create(name="leaky", checks=check_report("leaky", exact=3, near=5))
        return dataset

    def test_exact_copies_across_the_splits_stop_a_run(self, leaky: Dataset, rung: list[tuple[str, int]]) -> None:
        with pytest.raises(CopiesRefusedError, match=r"^3 test images of leaky are exact copies of training images; "):
            request_run(owner=None, dataset=leaky, recipe="fast", overrides={})
        assert not TrainingRun.objects.exists()
        assert rung == []

    def test_near_copies_stop_nothing(self) -> None:
        dataset = DatasetFactory.create(checks=check_report("near", near=9))
        assert request_run(owner=None, dataset=dataset, recipe="fast", overrides={}).pk

    def test_they_are_accepted_once_for_everybody(self, leaky: Dataset) -> None:
        trainer = UserFactory.create(groups=["trainer"])
        accept_copies(dataset=leaky, by=trainer)
        leaky.refresh_from_db()
        assert leaky.copies_accepted_by == trainer
        assert leaky.copies_accepted_at is not None
        assert request_run(owner=UserFactory.create(), dataset=leaky, recipe="fast", overrides={}).pk
        with pytest.raises(ServiceError, match="The copies in leaky were accepted already"):
            accept_copies(dataset=leaky, by=None)
        leaky.refresh_from_db()
        assert leaky.copies_accepted_by == trainer

    def test_not_everybody_may(self, leaky: Dataset) -> None:
        with pytest.raises(PermissionDenied):
            accept_copies(dataset=leaky, by=UserFactory.create(groups=["user"]))
        leaky.refresh_from_db()
        assert leaky.copies_accepted_at is None

    @pytest.mark.parametrize("checks", [{}, check_report("x", near=9)], ids=["unchecked", "near"])
    def test_there_must_be_something_to_accept(self, checks: dict[str, Any]) -> None:
        with pytest.raises(ServiceError, match="No test image of sound is a copy"):
            accept_copies(dataset=DatasetFactory.create(name="sound", checks=checks), by=None)


class TestAuxiliary:
    """A run in two phases names its first dataset."""

    FIRST: ClassVar = {"auxiliary_dataset": "photos", "auxiliary_epochs": 2, "auxiliary_learning_rate": 0.1}

    def test_it_is_kept_by_name(self) -> None:
        DatasetFactory.create(name="photos")
        run = request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides=self.FIRST)
        assert (run.config["auxiliary_dataset"], run.is_transfer) == ("photos", True)
        assert run.epochs_by_phase == {1: 2, 2: run.config["epochs"]}

    def test_one_that_is_not_imported_is_answered_with_those_that_are(self) -> None:
        dataset = DatasetFactory.create(name="shapes")
        sentence = "auxiliary_dataset is “photos”; allowed is the name of another imported dataset: {}."
        with pytest.raises(ConfigError) as caught:
            request_run(owner=None, dataset=dataset, recipe="fast", overrides=self.FIRST)
        assert (str(caught.value), caught.value.field) == (sentence.format("none so far"), "auxiliary_dataset")
        DatasetFactory.create(name="others")
        with pytest.raises(ConfigError) as caught:
            request_run(owner=None, dataset=dataset, recipe="fast", overrides=self.FIRST)
        assert str(caught.value) == sentence.format("others")
        assert not TrainingRun.objects.exists()

    def test_the_recipe_says_how_to_get_stl10(self) -> None:
        dataset = DatasetFactory.create()
        with pytest.raises(ConfigError) as caught:
            request_run(owner=None, dataset=dataset, recipe="transfer-stl10", overrides={})
        assert str(caught.value) == (
            "auxiliary_dataset is “stl10”, which is not imported yet: import STL-10 under Data, or with: "
            "manage.py import_dataset --stl10"
        )
        DatasetFactory.create(name="stl10")
        assert request_run(owner=None, dataset=dataset, recipe="transfer-stl10", overrides={}).is_transfer

    def test_it_is_another_dataset(self) -> None:
        dataset = DatasetFactory.create(name="photos")
        with pytest.raises(ConfigError, match="allowed is another dataset than the one that is trained on"):
            request_run(owner=None, dataset=dataset, recipe="fast", overrides=self.FIRST)

    def test_test_images_in_it_stop_a_run_until_they_are_accepted(self) -> None:
        DatasetFactory.create(name="photos")
        report = check_report("shapes")
        found = {"first": "test", "second": "photos", "exact": 2, "near": 0, "conflicting": 0, "examples": []}
        report["comparisons"].append(found)
        dataset = DatasetFactory.create(name="shapes", checks=report)
        assert request_run(owner=None, dataset=dataset, recipe="fast", overrides={}).pk
        with pytest.raises(CopiesRefusedError) as caught:
            request_run(owner=None, dataset=dataset, recipe="fast", overrides=self.FIRST)
        assert str(caught.value) == (
            "2 test images of shapes are exact copies of training images of photos; accept them with: "
            "manage.py check_dataset shapes --against photos --accept-copies"
        )
        accept_copies(dataset=dataset, by=None)
        assert request_run(owner=None, dataset=dataset, recipe="fast", overrides=self.FIRST).pk


class TestControl:
    def test_it_has_the_same_settings_and_sees_as_many_images(self, rung: list[tuple[str, int]]) -> None:
        run = make_transfer_run()
        control = request_control(owner=None, run=run)
        without = {"auxiliary_dataset": "", "auxiliary_epochs": 0, "auxiliary_learning_rate": 0.0}
        assert control.config == {**run.config, **without, "epochs": 2 + 6}
        assert (control.control_of, control.dataset, control.recipe) == (run, run.dataset, run.recipe)
        assert (control.is_transfer, control.status) == (False, JobStatus.QUEUED)
        assert rung == [(EXECUTE_RUN, control.pk)]

    def test_a_first_phase_that_stopped_early_counts_for_what_it_saw(self) -> None:
        run = make_transfer_run()
        run.epochs.get(phase=1, epoch=2).delete()
        assert request_control(owner=None, run=run).config["epochs"] == 2 + 3

    def test_a_first_phase_of_few_images_counts_as_one_epoch(self) -> None:
        run = make_transfer_run()
        run.epochs.filter(phase=1).update(images=20)
        assert request_control(owner=None, run=run).config["epochs"] == 2 + 1

    def test_only_two_phases_have_one(self) -> None:
        with pytest.raises(ServiceError, match="learns in one phase"):
            request_control(owner=None, run=TrainingRunFactory.create(status=JobStatus.SUCCEEDED))

    def test_a_second_click_is_refused_until_the_control_has_gone_wrong(self) -> None:
        run = make_transfer_run()
        first = request_control(owner=None, run=run)
        for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            run.controls.update(status=status)
            with pytest.raises(ServiceError) as caught:
                request_control(owner=None, run=run)
            assert str(caught.value) == f"{run} has a control already: {first}."
        run.controls.update(status=JobStatus.FAILED)
        assert request_control(owner=None, run=run) != first

    def test_only_a_run_that_succeeded_has_one(self) -> None:
        with pytest.raises(ServiceError, match="has not succeeded"):
            request_control(owner=None, run=make_transfer_run(status=JobStatus.FAILED))


class TestCancel:
    def test_who_may(self) -> None:
        owner = UserFactory.create(groups=["trainer"])
        run = TrainingRunFactory.create(owner=owner)
        assert may_cancel(run, owner)
        assert not may_cancel(run, UserFactory.create(groups=["trainer"]))
        assert may_cancel(run, UserFactory.create(groups=["operator"]))

    def test_a_queued_run_ends_at_once(self) -> None:
        run = TrainingRunFactory.create()
        cancel_run(run=run, by=run.owner)
        run.refresh_from_db()
        assert run.status == JobStatus.CANCELLED

    def test_somebody_elses_run_is_refused(self) -> None:
        run = TrainingRunFactory.create()
        with pytest.raises(PermissionDenied):
            cancel_run(run=run, by=UserFactory.create(groups=["trainer"]))
        run.refresh_from_db()
        assert run.status == JobStatus.QUEUED

    def test_an_ended_run_is_said_to_have_ended(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED)
        with pytest.raises(ServiceError, match="ended already"):
            cancel_run(run=run, by=run.owner)

    def test_imports_too(self) -> None:
        job = DatasetImportFactory.create(owner=UserFactory.create())
        with pytest.raises(PermissionDenied):
            cancel_import(job=job, by=UserFactory.create())
        cancel_import(job=job, by=job.owner)
        with pytest.raises(ServiceError, match="ended already"):
            cancel_import(job=job, by=None)


class TestRequestImport:
    def test_a_download_needs_room_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(services, "free_bytes", lambda: 5 * 1024**3)
        with pytest.raises(ServiceError, match=r"5.0.GB are free, 6.0.GB are needed"):
            request_import(owner=None, name="stl10", source=ImportSource.STL10)
        assert request_import(owner=None, name="cifar10", source=ImportSource.CIFAR10).pk

    def test_the_demo_needs_nothing(self, rung: list[tuple[str, int]]) -> None:
        job = request_import(owner=None, name="demo", source=ImportSource.DEMO)
        assert (job.status, job.name, job.source_path, job.owns_source) == (JobStatus.QUEUED, "demo", "", False)
        assert rung == [(EXECUTE_IMPORT, job.pk)]

    def test_a_path_is_kept_whole_and_stays_its_owners(self, tmp_path: Path) -> None:
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, source_path=tmp_path)
        assert (job.source_path, job.owns_source) == (str(tmp_path), False)

    def test_an_upload_is_stored_under_our_own_name(self, artifacts_root: Path) -> None:
        upload = SimpleUploadedFile("../../evil.zip", b"bytes")
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload)
        [stored] = (artifacts_root / "uploads").iterdir()
        assert (job.source_path, job.owns_source) == (f"uploads/{stored.name}", True)
        assert stored.read_bytes() == b"bytes"
        assert len(stored.name) == 32

    @pytest.mark.parametrize(
        "options",
        [
            {"source": ImportSource.ARCHIVE},
            {"source": ImportSource.ARCHIVE, "source_path": Path("/"), "upload": SimpleUploadedFile("a.zip", b"1")},
            {"source": ImportSource.ARCHIVE, "source_path": Path("/nowhere/at/all")},
            {"source": ImportSource.DEMO, "source_path": Path("/")},
            {"source": ImportSource.DEMO, "name": "../x"},
            {"source": ImportSource.DEMO, "name": "Upper"},
            {"source": ImportSource.DEMO, "name": ""},
            {"source": ImportSource.DEMO, "name": "line\n"},
            {"source": ImportSource.DEMO, "notes": "n" * 501},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict[str, Any], artifacts_root: Path) -> None:
        with pytest.raises(ServiceError):
            request_import(**{"owner": None, "name": "mine", **options})
        assert not DatasetImport.objects.exists()
        assert not (artifacts_root / "uploads").exists()

    def test_an_archive_that_is_too_large_is_refused(self, settings: Settings, artifacts_root: Path) -> None:
        settings.ARCHIVE_MAX_BYTES = 3
        upload = SimpleUploadedFile("a.zip", b"1234")
        with pytest.raises(ServiceError, match="larger than 3"):
            request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload)
        assert not (artifacts_root / "uploads").exists()

    def test_a_name_is_taken_by_a_dataset_or_by_an_import_under_way(self) -> None:
        DatasetFactory.create(name="taken")
        DatasetImportFactory.create(name="coming")
        DatasetImportFactory.create(name="failed", status=JobStatus.FAILED)
        with pytest.raises(NameTakenError, match="taken exists"):
            request_import(owner=None, name="taken", source=ImportSource.DEMO)
        with pytest.raises(NameTakenError, match="coming is being imported"):
            request_import(owner=None, name="coming", source=ImportSource.DEMO)
        request_import(owner=None, name="failed", source=ImportSource.DEMO)

    def test_no_file_is_left_when_the_row_cannot_be_written(
        self, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: object, **_options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(DatasetImport, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            request_import(
                owner=None, name="mine", source=ImportSource.ARCHIVE, upload=SimpleUploadedFile("a.zip", b"1")
            )
        assert list((artifacts_root / "uploads").iterdir()) == []


class TestPromoteVersion:
    def test_the_first_champion(self) -> None:
        version, operator = ModelVersionFactory.create(), UserFactory.create(groups=["operator"])
        promotion = promote_version(version=version, by=operator)
        assert version.state == ModelState.CHAMPION
        assert ModelVersion.objects.champion() == version
        assert (promotion.version, promotion.previous, promotion.by) == (version, None, operator)

    def test_a_worker_is_woken_for_mlflow(self, rung: list[tuple[str, int]], settings: Settings) -> None:
        first, second, third = ModelVersionFactory.create_batch(3)
        promote_version(version=first, by=None)
        assert rung == []  # nothing is tracked
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
        promote_version(version=second, by=None, announce=False)
        assert rung == []
        promotion = promote_version(version=third, by=None)
        assert rung == [(MIRROR_CHAMPION, promotion.pk)]

    def test_the_champion_before_is_archived(self) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        promote_version(version=old, by=None)
        promotion = promote_version(version=new, by=None)
        old.refresh_from_db()
        assert (old.state, promotion.previous) == (ModelState.ARCHIVED, old)
        assert promote_version(version=old, by=None).previous == new

    def test_the_champion_cannot_be_promoted_again(self) -> None:
        version = ModelVersionFactory.create(state=ModelState.CHAMPION)
        with pytest.raises(ServiceError, match="champion already"):
            promote_version(version=version, by=None)
        assert not Promotion.objects.exists()

    @pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "manifest.json"])
    def test_a_changed_byte_is_refused(self, name: str) -> None:
        version = ModelVersionFactory.create()
        with (version.path / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(ServiceError, match="not those that were registered") as caught:
            promote_version(version=version, by=None)
        assert str(version.path) not in str(caught.value)
        assert ModelVersion.objects.champion() is None

    def test_a_package_that_is_gone_is_refused(self) -> None:
        version = ModelVersionFactory.create()
        shutil.rmtree(version.path)
        with pytest.raises(ServiceError, match="not those that were registered"):
            promote_version(version=version, by=None)

    def test_another_package_under_the_rows_location_is_refused(self) -> None:
        version, other = ModelVersionFactory.create_batch(2)
        version.location = other.location
        with pytest.raises(ServiceError, match="another model"):
            promote_version(version=version, by=None)

    def test_other_classes_want_a_confirmation(self) -> None:
        old = ModelVersionFactory.create(state=ModelState.CHAMPION)
        new = ModelVersionFactory.create(class_keys=["cat", "dog"])
        with pytest.raises(ClassesDifferError, match="cat, dog"):
            promote_version(version=new, by=None)
        assert ModelVersion.objects.champion() == old
        promote_version(version=new, by=None, accept_class_change=True)
        assert ModelVersion.objects.champion() == new

    def test_the_same_classes_in_another_order_are_other_classes(self) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION, class_keys=["cat", "dog"])
        with pytest.raises(ClassesDifferError):
            promote_version(version=ModelVersionFactory.create(class_keys=["dog", "cat"]), by=None)

    @pytest.mark.django_db(transaction=True)
    def test_promotions_at_the_same_instant_leave_one_champion_and_a_true_record(self) -> None:
        versions = ModelVersionFactory.create_batch(6)
        start = threading.Barrier(len(versions))

        def promote(version: ModelVersion) -> None:
            start.wait()
            promote_version(version=version, by=None)
            connection.close()

        threads = [threading.Thread(target=promote, args=[version]) for version in versions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        promotions = list(Promotion.objects.order_by("pk"))
        assert [promotion.previous for promotion in promotions] == [None, *(p.version for p in promotions[:-1])]
        assert ModelVersion.objects.champion() == promotions[-1].version
        assert ModelVersion.objects.filter(state=ModelState.ARCHIVED).count() == 5


class TestHasTrainingWorker:
    @pytest.mark.parametrize(
        ("queues", "seconds_ago", "answer"),
        [
            (["training"], 5, True),
            (["default", "training"], 5, True),
            (["default"], 5, False),
            (["training"], 40, False),
        ],
    )
    def test_a_worker_counts_while_heard_of(self, *, queues: list[str], seconds_ago: int, answer: bool) -> None:
        now = timezone.now()
        seen = now - timedelta(seconds=seconds_ago)
        Worker.objects.create(name="training@here", queues=queues, started_at=now, last_seen_at=seen)
        assert has_training_worker() is answer

    def test_without_any_worker(self) -> None:
        assert has_training_worker() is False

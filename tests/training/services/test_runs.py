"""What may be asked of runs."""

from __future__ import annotations

from typing import ClassVar

import pytest
from django.core.exceptions import PermissionDenied

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    TrainingRunFactory,
    UserFactory,
    check_report,
)
from training.choices import JobStatus
from training.doorbell import EXECUTE_RUN
from training.engine.exceptions import ConfigError
from training.exceptions import CopiesRefusedError, ServiceError
from training.models import TrainingRun
from training.services import (
    accept_copies,
    cancel_import,
    cancel_run,
    may_steer,
    request_run,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


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
        monkeypatch.setattr("training.services.room.free_bytes", lambda: 1024 * 1024)
        with pytest.raises(ServiceError, match=r"almost full: 1.0.MB are free, 512.0.MB"):
            request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides={})

    def test_a_caller_that_does_the_work_itself_wakes_nobody(self, rung: list[tuple[str, int]]) -> None:
        request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides={}, announce=False)
        assert rung == []


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


class TestCancel:
    def test_who_may(self) -> None:
        owner = UserFactory.create(groups=["trainer"])
        run = TrainingRunFactory.create(owner=owner)
        assert may_steer(run, owner)
        assert not may_steer(run, UserFactory.create(groups=["trainer"]))
        assert may_steer(run, UserFactory.create(groups=["operator"]))

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

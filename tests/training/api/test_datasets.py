"""The API of datasets, of their imports, and of what runs report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries, Settings

from tests.api_fixtures import problem_of
from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    TrainingRunFactory,
    check_report,
)
from tests.training.api.callers import Caller
from training.choices import ImportSource, JobStatus
from training.doorbell import Bell
from training.models import DatasetImport

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

LIST, IMPORTS, RUNS = "/api/v1/datasets", "/api/v1/datasets/imports", "/api/v1/runs"


@pytest.fixture
def trainer() -> Caller:
    return Caller("trainer")


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Bell:
    bell = Bell(was_heard=True)
    monkeypatch.setattr("training.services.imports.ring", lambda _task, _pk: bell)
    return bell


class TestDatasets:
    def test_the_list(self, trainer: Caller) -> None:
        dataset = DatasetFactory.create(name="shapes")
        assert trainer.ask("get", LIST).json()["results"] == [
            {
                "id": dataset.pk,
                "name": "shapes",
                "sha256": "0" * 64,
                "source": "demo",
                "synthetic": True,
                "class_keys": dataset.class_keys,
                "train_count": 200,
                "test_count": 40,
                "created_at": dataset.created_at.isoformat().replace("+00:00", "Z"),
            }
        ]
        problem_of(trainer.ask("get", f"{LIST}?name=shapes"), 400)

    def test_one_tells_its_counts_and_checks(self, trainer: Caller) -> None:
        dataset = DatasetFactory.create(name="shapes", checks=check_report("shapes", exact=2))
        body = trainer.ask("get", f"{LIST}/{dataset.pk}").json()
        assert body["splits"]["train"]["per_class"]["cat"] == 20
        assert (body["exact_copies"], body["copies_accepted_at"], body["copies_accepted_by"]) == (2, None, None)
        assert body["checks"]["comparisons"][2]["exact"] == 2
        accepted = trainer.ask("post", f"{LIST}/{dataset.pk}/accept-copies")
        assert (accepted.status_code, accepted.json()["copies_accepted_by"]) == (200, "a-trainer")
        problem_of(trainer.ask("post", f"{LIST}/{dataset.pk}/accept-copies"), 409)

    def test_they_are_for_trainers(self) -> None:
        dataset, user = DatasetFactory.create(), Caller("user")
        for path in (LIST, f"{LIST}/{dataset.pk}", IMPORTS):
            problem_of(user.ask("get", path), 403)

    def test_absent_ones(self, trainer: Caller) -> None:
        for method, path in (
            ("get", f"{LIST}/9"),
            ("post", f"{LIST}/9/accept-copies"),
            ("get", f"{IMPORTS}/9"),
            ("post", f"{IMPORTS}/9/cancel"),
            ("get", f"{RUNS}/9/metrics"),
            ("get", f"{RUNS}/9/events"),
        ):
            problem_of(trainer.ask(method, path), 404)

    def test_the_number_of_queries_is_constant(
        self, trainer: Caller, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for count in (1, 4):
            DatasetFactory.create_batch(count)
            DatasetImportFactory.create_batch(count, owner=trainer.user)
            for path in (LIST, IMPORTS):
                with django_assert_num_queries(4):  # the token, two of permissions, the page
                    trainer.ask("get", path)


class TestImports:
    def test_a_source_that_the_worker_reaches(self, trainer: Caller, bell: Bell) -> None:
        bell.was_heard = False
        response = trainer.ask("post", IMPORTS, {"name": "shapes", "source": "demo", "notes": "To try."})
        assert response.status_code == 202, response.content
        job = DatasetImport.objects.get()
        body = response.json()
        assert response.headers["Location"] == f"http://testserver{IMPORTS}/{job.pk}"
        assert [change["to"] for change in body.pop("history")] == ["queued"]
        assert body.pop("requested_at")
        assert body == {
            "id": job.pk,
            "name": "shapes",
            "source": "demo",
            "status": "queued",
            "reason": None,
            "detail": "",
            "owner": "a-trainer",
            "skip_unreadable": False,
            "notes": "To try.",
            "cancel_requested": False,
            "started_at": None,
            "finished_at": None,
            "progress": {"done": 0, "total": 0, "message": ""},
            "dataset": None,
            "broker_reached": False,
        }

    def test_an_archive_that_is_sent(self, trainer: Caller, artifacts_root: Path) -> None:
        fields = {
            "name": "mine",
            "source": "archive",
            "file": SimpleUploadedFile("a.zip", b"PK"),
            "skip_unreadable": "true",
        }
        response = trainer.send(IMPORTS, fields)
        assert response.status_code == 202, response.content
        job = DatasetImport.objects.get()
        assert (job.source, job.skip_unreadable, job.owns_source) == (ImportSource.ARCHIVE, True, True)
        assert (artifacts_root / job.source_path).read_bytes() == b"PK"

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({}, "name"),
            ({"name": "Bad Name", "source": "demo"}, "name"),
            ({"name": "x" * 64, "source": "demo"}, "name"),
            ({"name": "a", "source": "web"}, "source"),
            ({"name": "a", "source": "archive"}, "file"),
            ({"name": "a", "source": "demo", "notes": "x" * 501}, "notes"),
            ({"name": "a", "source": "demo", "source_path": "/etc"}, "source_path"),
            ({"name": "a", "source": "demo", "owner": 1}, "owner"),
        ],
    )
    def test_wrong_values_are_named(self, trainer: Caller, body: object, location: str) -> None:
        answer = problem_of(trainer.ask("post", IMPORTS, body), 400)
        assert answer["errors"][0]["location"] == location
        assert not DatasetImport.objects.exists()

    def test_a_name_that_is_taken(self, trainer: Caller) -> None:
        DatasetFactory.create(name="shapes")
        problem_of(trainer.ask("post", IMPORTS, {"name": "shapes", "source": "demo"}), 409)

    def test_an_archive_that_is_too_large(self, trainer: Caller, settings: Settings) -> None:
        settings.ARCHIVE_MAX_BYTES = 1
        fields = {"name": "mine", "source": "archive", "file": SimpleUploadedFile("a.zip", b"x" * 100_000)}
        problem_of(trainer.send(IMPORTS, fields), 413)

    def test_they_are_listed_and_cancelled(self, trainer: Caller) -> None:
        job = DatasetImportFactory.create(owner=trainer.user)
        DatasetImportFactory.create(status=JobStatus.FAILED)
        found = trainer.ask("get", f"{IMPORTS}?status=queued").json()["results"]
        assert [row["id"] for row in found] == [job.pk]
        cancelled = trainer.ask("post", f"{IMPORTS}/{job.pk}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
        problem_of(trainer.ask("post", f"{IMPORTS}/{job.pk}/cancel"), 409)

    def test_another_persons_import_is_not_cancelled(self, trainer: Caller) -> None:
        job = DatasetImportFactory.create()
        problem_of(trainer.ask("post", f"{IMPORTS}/{job.pk}/cancel"), 403)


class TestReports:
    def test_epochs_come_in_order_and_after_a_step(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING, metrics={"accuracy": 0.5})
        for epoch in (2, 1):
            EpochMetricFactory.create(run=run, epoch=epoch)
        body = trainer.ask("get", f"{RUNS}/{run.pk}/metrics").json()
        assert (body["status"], body["test"]) == ("running", {"accuracy": 0.5})
        assert [(row["epoch"], row["step"], row["validation_accuracy"]) for row in body["epochs"]] == [
            (1, 10, 0.4),
            (2, 20, 0.4),
        ]
        later: dict[str, Any] = trainer.ask("get", f"{RUNS}/{run.pk}/metrics?after_step=10").json()
        assert [row["epoch"] for row in later["epochs"]] == [2]
        problem_of(trainer.ask("get", f"{RUNS}/{run.pk}/metrics?after_step=-1"), 400)

    def test_history_and_log(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create(log_tail="one\ntwo\n")
        body = trainer.ask("get", f"{RUNS}/{run.pk}/events").json()
        assert body == {"history": [], "log": ["one", "two"]}
        problem_of(trainer.ask("get", f"{RUNS}/{run.pk}/events?tail=2"), 400)

    def test_runs_are_for_trainers(self) -> None:
        run, user = TrainingRunFactory.create(), Caller("user")
        for rest in ("metrics", "events"):
            problem_of(user.ask("get", f"{RUNS}/{run.pk}/{rest}"), 403)

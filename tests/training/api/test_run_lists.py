"""The API of runs: filters, files, and the end of several."""

from __future__ import annotations

import csv
import io
import json

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.api_fixtures import problem_of
from tests.factories import ModelVersionFactory, TrainingRunFactory, UserFactory
from tests.training.api.callers import Caller
from training.choices import JobStatus
from training.models import ModelVersion, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

RUNS = "/api/v1/runs"


@pytest.fixture
def trainer() -> Caller:
    return Caller("trainer")


def numbers_of(caller: Caller, query: str) -> list[int]:
    return [run["id"] for run in caller.ask("get", f"{RUNS}?{query}").json()["results"]]


def test_the_list_takes_the_filters_of_the_page(trainer: Caller) -> None:
    good = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, owner=UserFactory.create(username="grace"))
    ModelVersionFactory.create(run=good)
    ModelVersion.objects.filter(run=good).update(test_accuracy=0.9)
    other = TrainingRunFactory.create(recipe="accurate")
    assert numbers_of(trainer, "owner=grace") == [good.pk]
    assert numbers_of(trainer, "least_accuracy=0.9") == [good.pk]
    assert numbers_of(trainer, "most_accuracy=0.8") == []
    assert numbers_of(trainer, f"dataset={other.dataset.name}") == [other.pk]
    assert numbers_of(trainer, "search=accur") == [other.pk]
    assert numbers_of(trainer, "since=2020-01-01&architecture=whitened_cnn") == [other.pk, good.pk]
    [error] = problem_of(trainer.ask("get", f"{RUNS}?least_accuracy=90"), 400)["errors"]
    assert error["location"] == "least_accuracy"


def test_a_spreadsheet_of_the_runs(trainer: Caller) -> None:
    run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, owner=UserFactory.create(username="=cmd()"))
    version = ModelVersionFactory.create(run=run)
    TrainingRunFactory.create(recipe="accurate")
    response = trainer.ask("get", f"{RUNS}/export.csv?recipe=fast")
    assert response.headers["Content-Disposition"] == 'attachment; filename="runs.csv"'
    [row] = csv.DictReader(io.StringIO(response.getvalue().decode()))
    assert (row["run"], row["status"], row["owner"]) == (str(run.pk), "succeeded", "'=cmd()")
    assert (row["model_version"], row["test_accuracy"]) == (str(version), "1.0")
    assert json.loads(row["settings"]) == run.config


def test_lines_of_the_runs(trainer: Caller) -> None:
    runs = TrainingRunFactory.create_batch(2)
    lines = trainer.ask("get", f"{RUNS}/export.jsonl").getvalue().decode().splitlines()
    bodies = [json.loads(line) for line in lines]
    assert [body["id"] for body in bodies] == [runs[1].pk, runs[0].pk]
    assert bodies[0]["settings"] == runs[1].config
    assert bodies[0]["status"] == "queued"


def test_files_are_read_some_at_a_time(
    trainer: Caller, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr("training.api.run_export_views._READ_AT_ONCE", 2)
    runs = TrainingRunFactory.create_batch(5)
    response = trainer.ask("get", f"{RUNS}/export.csv")
    with django_assert_num_queries(4):  # two, two, one, none
        rows = list(csv.DictReader(io.StringIO(response.getvalue().decode())))
    assert [int(row["run"]) for row in rows] == [run.pk for run in reversed(runs)]


@pytest.mark.parametrize("name", ["export.csv", "export.jsonl"])
def test_files_are_for_those_who_may(name: str) -> None:
    problem_of(Caller("user").ask("get", f"{RUNS}/{name}"), 403)
    problem_of(Caller("trainer").ask("get", f"{RUNS}/{name}?colour=red"), 400)


def test_several_are_cancelled_at_once(trainer: Caller) -> None:
    own = TrainingRunFactory.create(owner=trainer.user)
    others = TrainingRunFactory.create()
    ended = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.FAILED)
    answer = trainer.ask("post", f"{RUNS}/cancel", {"runs": [own.pk, others.pk, ended.pk, 987654, own.pk]})
    assert answer.status_code == 200
    assert answer.json() == {
        "cancelled": [own.pk],
        "ended": [ended.pk],
        "refused": [others.pk],
        "missing": [987654],
    }
    assert dict(TrainingRun.objects.values_list("pk", "status")) == {
        own.pk: JobStatus.CANCELLED,
        others.pk: JobStatus.QUEUED,
        ended.pk: JobStatus.FAILED,
    }


@pytest.mark.parametrize("runs", [[], ["x"], [0], list(range(1, 102)), "1"])
def test_nonsense_is_refused(trainer: Caller, runs: object) -> None:
    problem_of(trainer.ask("post", f"{RUNS}/cancel", {"runs": runs}), 400)

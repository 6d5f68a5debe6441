"""The API of evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.api_fixtures import problem_of
from tests.evaluations import make_evaluation, make_tested
from tests.factories import EvaluationFactory, ModelVersionFactory
from tests.training.api.callers import Caller
from training.choices import JobStatus
from training.doorbell import Bell
from training.models import Dataset, Evaluation, ModelVersion

pytestmark = pytest.mark.django_db

LABELS = [0, 0, 0, 1]
ANSWERS = [0, 1, 1, 1]


@pytest.fixture
def trainer() -> Caller:
    return Caller("trainer")


@pytest.fixture
def version(artifacts_root: Path) -> ModelVersion:
    version: ModelVersion = ModelVersionFactory.create()
    return version


@pytest.fixture
def dataset(version: ModelVersion, tmp_path: Path) -> Dataset:
    return make_tested(tmp_path, name="four", labels=LABELS, version=version)


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Bell:
    bell = Bell(was_heard=True)
    monkeypatch.setattr("training.services.evaluations.ring", lambda _task, _pk: bell)
    return bell


def of(version: ModelVersion) -> str:
    return f"/api/v1/models/{version.pk}/evaluations"


def at(job: Evaluation, part: str = "") -> str:
    return f"/api/v1/evaluations/{job.pk}{part}"


def test_one_is_asked_for_once(trainer: Caller, version: ModelVersion, dataset: Dataset) -> None:
    once = {"Idempotency-Key": "once"}
    for _time in range(2):
        response = trainer.ask("post", of(version), {"dataset": "four", "test_time_augmentation": True}, headers=once)
        assert response.status_code == 202, response.content
    job = Evaluation.objects.get()
    assert response.headers["Location"] == f"http://testserver{at(job)}"
    body = response.json()
    assert [change["to"] for change in body.pop("history")] == ["queued"]
    assert body.pop("requested_at")
    assert body == {
        "id": job.pk,
        "version": str(version),
        "dataset": "four",
        "status": "queued",
        "reason": None,
        "detail": "",
        "owner": "a-trainer",
        "test_time_augmentation": True,
        "accuracy": None,
        "has_files": False,
        "cancel_requested": False,
        "started_at": None,
        "finished_at": None,
        "progress": {"done": 0, "total": 0, "message": ""},
        "report": {},
        "broker_reached": True,
    }
    problem_of(trainer.ask("post", of(version), {"dataset": "four"}), 409)


@pytest.mark.parametrize(
    ("body", "location"),
    [({}, "dataset"), ({"dataset": "none"}, "dataset"), ({"dataset": "four", "images": 3}, "images")],
)
def test_what_is_asked_wrongly_is_named(
    trainer: Caller, version: ModelVersion, dataset: Dataset, body: dict[str, object], location: str
) -> None:
    problem = problem_of(trainer.ask("post", of(version), body), 400)
    assert [error["location"] for error in problem["errors"]] == [location]
    assert not Evaluation.objects.exists()


def test_what_was_measured_is_told(trainer: Caller, version: ModelVersion, dataset: Dataset) -> None:
    job = make_evaluation(version, dataset, answers=ANSWERS)
    EvaluationFactory.create(version=version, dataset=dataset)
    [running, ended] = trainer.ask("get", of(version)).json()["results"]
    assert (running["accuracy"], running["has_files"]) == (None, False)
    assert (ended["id"], ended["accuracy"], ended["has_files"]) == (job.pk, job.accuracy, True)
    [kept] = trainer.ask("get", f"{of(version)}?status=succeeded").json()["results"]
    assert kept == ended
    detail = trainer.ask("get", at(job)).json()
    assert detail["report"]["metrics"]["confusion_matrix"] == job.report["metrics"]["confusion_matrix"]


def test_single_images_are_listed(trainer: Caller, version: ModelVersion, dataset: Dataset) -> None:
    job = make_evaluation(version, dataset, answers=ANSWERS)
    path = at(job, "/answers")
    assert trainer.ask("get", f"{path}?class_key=airplane&answer=automobile").json() == {
        "dataset": "four",
        "indices": [1, 2],
    }
    problem = problem_of(trainer.ask("get", f"{path}?class_key=airplane&answer=zebra"), 400)
    assert [error["location"] for error in problem["errors"]] == ["answer"]
    problem_of(trainer.ask("get", path), 400)
    points = trainer.ask("get", at(job, "/map")).json()["points"]
    assert points[1] == {
        "index": 1, "x": pytest.approx(1 / 3), "y": pytest.approx(1 / 3),
        "class_key": "airplane", "answer": "automobile",
    }  # fmt: skip
    assert len(points) == 4
    (job.path / "answers.npy").unlink()
    for part in ("/map", "/answers?class_key=airplane&answer=cat"):
        problem_of(trainer.ask("get", at(job, part)), 404)


def test_it_is_cancelled_by_whoever_may(trainer: Caller, version: ModelVersion, dataset: Dataset) -> None:
    theirs = EvaluationFactory.create(version=version, dataset=dataset)
    problem_of(trainer.ask("post", at(theirs, "/cancel")), 403)
    Evaluation.objects.update(owner=trainer.user)
    response = trainer.ask("post", at(theirs, "/cancel"))
    assert (response.status_code, response.json()["status"]) == (202, JobStatus.CANCELLED)
    problem_of(trainer.ask("post", at(theirs, "/cancel")), 409)


def test_they_are_for_trainers(version: ModelVersion, dataset: Dataset) -> None:
    job = make_evaluation(version, dataset, answers=ANSWERS)
    user, viewer = Caller("user"), Caller("viewer")
    for path in (of(version), at(job), at(job, "/map"), at(job, "/answers?class_key=cat&answer=dog")):
        problem_of(user.ask("get", path), 403)
        assert viewer.ask("get", path).status_code == 200
    problem_of(viewer.ask("post", of(version), {"dataset": "four"}), 403)


def test_absent_ones(trainer: Caller) -> None:
    for method, path in (
        ("get", "/api/v1/models/9/evaluations"),
        ("post", "/api/v1/models/9/evaluations"),
        ("get", "/api/v1/evaluations/9"),
        ("get", "/api/v1/evaluations/9/map"),
        ("get", "/api/v1/evaluations/9/answers?class_key=cat&answer=cat"),
        ("post", "/api/v1/evaluations/9/cancel"),
    ):
        problem_of(trainer.ask(method, path, {"dataset": "four"} if method == "post" else None), 404)


def test_the_number_of_queries_is_constant(
    trainer: Caller, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 4):
        EvaluationFactory.create_batch(count, version=version, status=JobStatus.FAILED, owner=trainer.user)
        with django_assert_num_queries(5):  # the token, two of permissions, the version, the page
            trainer.ask("get", of(version))

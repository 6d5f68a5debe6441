"""The API of runs and queues: bodies, refusals, who may do what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.api_fixtures import make_token, problem_of
from tests.factories import DatasetFactory, EpochMetricFactory, ModelVersionFactory, TrainingRunFactory, UserFactory
from training.choices import JobStatus, Priority, QueueName
from training.doorbell import Bell
from training.models import TrainingRun, Worker
from training.services import pause_queue, request_run

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

RUNS = "/api/v1/runs"


@dataclass
class Caller:
    """A program of a member of a group."""

    group: str

    def __post_init__(self) -> None:
        self.user = UserFactory.create(groups=[self.group] if self.group else [], username=f"a-{self.group}")
        self.headers = {"authorization": f"Token {make_token(self.user)}"}
        self.client = Client(raise_request_exception=False)

    def ask(self, method: str, path: str, body: object = None) -> Response:
        content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(path, headers=self.headers, **content)  # type: ignore[no-any-return]


@pytest.fixture
def trainer() -> Caller:
    return Caller("trainer")


@pytest.fixture
def operator() -> Caller:
    return Caller("operator")


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Bell:
    """What becomes of every message."""
    bell = Bell(was_heard=True)
    for module in ("runs", "reruns"):
        monkeypatch.setattr(f"training.services.{module}.ring", lambda _task, _pk: bell)
    return bell


def succeeded(**fields: Any) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(
        status=JobStatus.SUCCEEDED, checkpoint="runs/1/1/c", checkpoint_step=20, **fields
    )
    for epoch in (1, 2):
        EpochMetricFactory.create(run=run, epoch=epoch)
    return run


class TestRequest:
    def test_a_run_is_accepted_and_described(self, trainer: Caller) -> None:
        DatasetFactory.create(name="shapes")
        first = TrainingRunFactory.create()
        body = {
            "dataset": "shapes",
            "recipe": "fast",
            "settings": {"epochs": 3, "learning_rate": 0.5, "flip": False},
            "priority": "low",
            "after": first.pk,
        }
        response = trainer.ask("post", RUNS, body)
        assert response.status_code == 202, response.content
        run = TrainingRun.objects.latest("pk")
        assert response.headers["Location"] == f"http://testserver{RUNS}/{run.pk}"
        answer = response.json()
        settings, history = answer.pop("settings"), answer.pop("history")
        assert (settings["epochs"], settings["learning_rate"], settings["flip"]) == (3, 0.5, False)
        assert answer == {
            "id": run.pk,
            "status": "queued",
            "reason": None,
            "detail": "",
            "dataset": "shapes",
            "recipe": "fast",
            "owner": "a-trainer",
            "priority": "low",
            "after": first.pk,
            "continues": None,
            "control_of": None,
            "cancel_requested": False,
            "requested_at": run.requested_at.isoformat().replace("+00:00", "Z"),
            "started_at": None,
            "finished_at": None,
            "attempts": 0,
            "progress": {"done": 0, "total": 0, "message": ""},
            "waiting": {"for": "run", "position": None, "expected_start": None, "after": first.pk},
            "model_version": None,
            "test_accuracy": None,
            "metrics": {},
            "broker_reached": True,
        }
        [requested] = history
        assert requested.pop("at").endswith("Z")
        assert requested == {
            "from": None,
            "to": "queued",
            "cause": "requested",
            "by": "a-trainer",
            "worker": "",
            "attempt": 0,
            "fence": 0,
            "reason": None,
            "detail": "",
        }

    def test_a_broker_that_is_away_changes_nothing_else(self, trainer: Caller, bell: Bell) -> None:
        bell.was_heard = False
        DatasetFactory.create(name="shapes")
        response = trainer.ask("post", RUNS, {"dataset": "shapes"})
        assert (response.status_code, response.json()["broker_reached"]) == (202, False)
        assert TrainingRun.objects.get().status == JobStatus.QUEUED

    @pytest.mark.parametrize(
        ("body", "location"),
        [
            ({}, "dataset"),
            ({"dataset": "nothing"}, "dataset"),
            ({"dataset": "shapes", "recipe": "slow"}, "recipe"),
            ({"dataset": "shapes", "settings": {"epochs": -1}}, "settings.epochs"),
            ({"dataset": "shapes", "settings": {"epochs": "two"}}, "settings.epochs"),
            ({"dataset": "shapes", "settings": {"batch_size": 1_000_000_000}}, "settings.batch_size"),
            ({"dataset": "shapes", "settings": {"surprise": 1}}, "settings.surprise"),
            ({"dataset": "shapes", "settings": {"epochs": [1]}}, "settings.epochs"),
            ({"dataset": "shapes", "settings": {"weights_file": "\0"}}, "settings.weights_file"),
            ({"dataset": "shapes", "settings": {"dataset": "/etc"}}, "dataset"),
            ({"dataset": "shapes", "settings": 3}, "settings"),
            ({"dataset": "shapes", "owner": "root"}, "owner"),
            ({"dataset": "shapes", "status": "succeeded"}, "status"),
            ({"dataset": "shapes", "priority": "highest"}, "priority"),
            ({"dataset": "shapes", "after": 404}, "after"),
            ({"dataset": "shapes", "after": 10**30}, "after"),
            ([], "body"),
        ],
    )
    def test_wrong_values_are_named(self, trainer: Caller, body: object, location: str) -> None:
        DatasetFactory.create(name="shapes")
        answer = problem_of(trainer.ask("post", RUNS, json.dumps(body)), 400)
        assert [error["location"] for error in answer["errors"]] == [location]
        assert not TrainingRun.objects.exists()

    @pytest.mark.parametrize(
        "text",
        [
            b"{",
            b'{"dataset": NaN}',
            b'{"dataset": "shapes", "settings": {"learning_rate": 1e999}}',
            b'{"dataset": "shapes", "settings": {"weights_file": "\\ud800"}}',
            b'{"dataset": "\xff"}',
            b"[" * 100_000,
        ],
        ids=["open", "nan", "infinity", "surrogate", "utf8", "deep"],
    )
    def test_broken_texts_are_refused(self, trainer: Caller, text: bytes) -> None:
        DatasetFactory.create(name="shapes")
        problem_of(trainer.ask("post", RUNS, text), 400)
        assert not TrainingRun.objects.exists()

    def test_a_form_is_not_taken(self, trainer: Caller) -> None:
        problem_of(trainer.client.post(RUNS, {"dataset": "shapes"}, headers=trainer.headers), 415)

    def test_a_high_priority_is_for_operators(self, trainer: Caller, operator: Caller) -> None:
        DatasetFactory.create(name="shapes")
        body = {"dataset": "shapes", "priority": "high"}
        assert problem_of(trainer.ask("post", RUNS, body), 403)["errors"][0]["location"] == "account"
        assert operator.ask("post", RUNS, body).json()["priority"] == "high"

    def test_what_the_state_forbids_is_a_conflict(self, trainer: Caller, settings: Any) -> None:
        settings.USER_ACTIVE_RUNS = 1
        run = TrainingRunFactory.create(owner=trainer.user)
        answer = problem_of(trainer.ask("post", RUNS, {"dataset": run.dataset.name}), 409)
        assert answer["errors"][0]["code"] == "conflict"
        assert answer["detail"].startswith("You have 1 run under way")

    def test_a_run_that_did_not_succeed_is_not_followed(self, trainer: Caller) -> None:
        failed = TrainingRunFactory.create(status=JobStatus.FAILED)
        answer = problem_of(trainer.ask("post", RUNS, {"dataset": failed.dataset.name, "after": failed.pk}), 409)
        assert answer["detail"] == f"Run {failed.pk} did not succeed; resume it first, or choose another run."


@pytest.mark.django_db(transaction=True)
def test_a_real_broker_is_reached(trainer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    DatasetFactory.create(name="shapes")
    assert trainer.ask("post", RUNS, {"dataset": "shapes"}).json()["broker_reached"] is True


class TestRead:
    def test_the_list_comes_in_pages_that_stay(self, trainer: Caller) -> None:
        runs = TrainingRunFactory.create_batch(5)
        first = trainer.ask("get", f"{RUNS}?page_size=2").json()
        TrainingRunFactory.create()
        second = trainer.ask("get", first["next"]).json()
        assert [run["id"] for run in first["results"]] == [runs[4].pk, runs[3].pk]
        assert [run["id"] for run in second["results"]] == [runs[2].pk, runs[1].pk]
        assert first["previous"] is None
        assert second["previous"] is not None
        assert "settings" not in first["results"][0]

    def test_one_state_can_be_kept(self, trainer: Caller) -> None:
        failed = TrainingRunFactory.create(status=JobStatus.FAILED)
        TrainingRunFactory.create()
        assert [run["id"] for run in trainer.ask("get", f"{RUNS}?status=failed").json()["results"]] == [failed.pk]
        assert problem_of(trainer.ask("get", f"{RUNS}?status=lost"), 400)["errors"][0]["location"] == "status"
        problem_of(trainer.ask("get", f"{RUNS}?cursor=x"), 404)

    @pytest.mark.parametrize("count", [1, 6])
    def test_its_number_of_queries_is_constant(
        self, trainer: Caller, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        dataset = DatasetFactory.create()
        for status in (JobStatus.QUEUED, JobStatus.RUNNING):
            TrainingRunFactory.create_batch(count, status=status, dataset=dataset)
        for _number in range(count):
            done = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, dataset=dataset, wall_seconds=1.0)
            ModelVersionFactory.create(run=done)
        # The token's owner, two of permissions, the page, eight about what waits.
        with django_assert_num_queries(12):
            assert len(trainer.ask("get", RUNS).json()["results"]) == 3 * count

    def test_one_run(self, trainer: Caller) -> None:
        now = timezone.now()
        Worker.objects.create(name="w", queues=["training"], started_at=now, last_seen_at=now)
        run = request_run(owner=trainer.user, dataset=DatasetFactory.create(), recipe="fast", overrides={"epochs": 3})
        answer = trainer.ask("get", f"{RUNS}/{run.pk}").json()
        assert (answer["waiting"]["for"], answer["waiting"]["position"]) == ("worker", 1)
        assert [row["cause"] for row in answer["history"]] == ["requested"]
        assert answer["settings"]["epochs"] == 3
        assert "broker_reached" not in answer

    def test_a_version_is_named(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED)
        version = ModelVersionFactory.create(run=run)
        answer = trainer.ask("get", f"{RUNS}/{run.pk}").json()
        assert (answer["model_version"], answer["test_accuracy"], answer["waiting"]) == (str(version), 1.0, None)

    @pytest.mark.parametrize("path", ["404", "404/cancel", "404/resume", "404/clone", "404/extend"])
    def test_there_is_no_such_run(self, operator: Caller, path: str) -> None:
        method = "post" if "/" in path else "get"
        body = {"epochs": 1} if "extend" in path else None
        problem_of(operator.ask(method, f"{RUNS}/{path}", body), 404)


class TestActions:
    def test_cancel(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        answer = trainer.ask("post", f"{RUNS}/{run.pk}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
        assert problem_of(trainer.ask("post", f"{RUNS}/{run.pk}/cancel"), 409)["detail"] == (
            f"Run {run.pk} has ended already."
        )

    def test_resume(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.FAILED)
        answer = trainer.ask("post", f"{RUNS}/{run.pk}/resume")
        assert answer.status_code == 202
        assert (answer.json()["status"], answer.json()["broker_reached"]) == ("queued", True)
        assert [row["cause"] for row in answer.json()["history"]] == ["resumed"]
        problem_of(trainer.ask("post", f"{RUNS}/{run.pk}/resume"), 409)

    def test_clone(self, trainer: Caller) -> None:
        run = TrainingRunFactory.create()
        answer = trainer.ask("post", f"{RUNS}/{run.pk}/clone")
        clone = TrainingRun.objects.latest("pk")
        assert (answer.status_code, answer.json()["id"]) == (202, clone.pk)
        assert answer.headers["Location"].endswith(f"{RUNS}/{clone.pk}")
        assert (answer.json()["settings"], answer.json()["owner"]) == (run.config, "a-trainer")

    def test_extend(self, trainer: Caller) -> None:
        run = succeeded()
        answer = trainer.ask("post", f"{RUNS}/{run.pk}/extend", {"epochs": 3})
        assert (answer.status_code, answer.json()["continues"]) == (202, run.pk)
        assert answer.json()["settings"]["epochs"] == 5
        for body in ({}, {"epochs": 0}, {"epochs": "x"}, {"epochs": 999}):
            refused = problem_of(trainer.ask("post", f"{RUNS}/{run.pk}/extend", body), 400)
            assert refused["errors"][0]["location"] == "epochs"
        problem_of(trainer.ask("post", f"{RUNS}/{answer.json()['id']}/extend", {"epochs": 1}), 409)

    def test_priority(self, trainer: Caller, operator: Caller) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        address = f"{RUNS}/{run.pk}"
        answer = trainer.ask("patch", address, {"priority": "low"})
        assert (answer.status_code, answer.json()["priority"]) == (200, "low")
        problem_of(trainer.ask("patch", address, {"priority": "high"}), 403)
        assert operator.ask("patch", address, {"priority": "high"}).status_code == 200
        run.refresh_from_db()
        assert run.priority == Priority.HIGH
        for body, location in (({}, "priority"), ({"priority": "low", "status": "failed"}, "status")):
            refused = problem_of(operator.ask("patch", address, body), 400)
            assert refused["errors"][0]["location"] == location
        TrainingRun.claim(run.pk, worker="w")
        problem_of(operator.ask("patch", address, {"priority": "low"}), 409)


class TestQueues:
    def test_they_are_listed_paused_and_let_go_on(self, operator: Caller) -> None:
        TrainingRunFactory.create()
        TrainingRunFactory.create(status=JobStatus.RUNNING)
        training = {"name": "training", "paused_at": None, "paused_by": None, "queued": 1, "running": 1}
        inference = {"name": "inference", "paused_at": None, "paused_by": None, "queued": 0, "running": 0}
        assert operator.ask("get", "/api/v1/queues").json() == [training, inference]
        paused = operator.ask("post", "/api/v1/queues/training/pause")
        assert paused.status_code == 200
        assert paused.json()["paused_at"].endswith("Z")
        assert paused.json()["paused_by"] == "a-operator"
        assert operator.ask("get", "/api/v1/queues").json() == [paused.json(), inference]
        problem_of(operator.ask("post", "/api/v1/queues/training/pause"), 409)
        assert operator.ask("post", "/api/v1/queues/training/unpause").json() == training
        problem_of(operator.ask("post", "/api/v1/queues/training/unpause"), 409)
        problem_of(operator.ask("post", "/api/v1/queues/other/pause"), 404)


# What each group gets for the methods on somebody else's things: nobody, user, trainer, operator.
MATRIX = [
    ("get", "runs", None, (401, 403, 200, 200)),
    ("post", "runs", {"dataset": "shapes"}, (401, 403, 202, 202)),
    ("get", "runs/{queued}", None, (401, 403, 200, 200)),
    ("patch", "runs/{queued}", {"priority": "low"}, (401, 403, 403, 200)),
    ("post", "runs/{queued}/cancel", None, (401, 403, 403, 202)),
    ("post", "runs/{failed}/resume", None, (401, 403, 403, 202)),
    ("post", "runs/{queued}/clone", None, (401, 403, 202, 202)),
    ("post", "runs/{succeeded}/extend", {"epochs": 1}, (401, 403, 202, 202)),
    ("get", "queues", None, (401, 403, 200, 200)),
    ("post", "queues/training/pause", None, (401, 403, 403, 200)),
    ("post", "queues/inference/unpause", None, (401, 403, 403, 200)),
    ("delete", "runs/{queued}", None, (401, 405, 405, 405)),
    ("put", "runs/{queued}", {}, (401, 405, 405, 405)),
]


@pytest.mark.parametrize(("method", "path", "body", "statuses"), MATRIX)
def test_who_may_do_what(method: str, path: str, body: object, statuses: tuple[int, ...]) -> None:
    pause_queue(name=QueueName.INFERENCE, by=None)
    rows = {
        "queued": TrainingRunFactory.create(dataset__name="shapes"),
        "failed": TrainingRunFactory.create(status=JobStatus.FAILED),
        "succeeded": succeeded(),
    }
    address = f"/api/v1/{path.format(**{name: run.pk for name, run in rows.items()})}"
    content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
    got = [getattr(Client(), method)(address, **content).status_code]
    got += [Caller(group).ask(method, address, body).status_code for group in ("user", "trainer", "operator")]
    assert tuple(got) == statuses


def test_a_head_request_needs_what_get_needs() -> None:
    assert Caller("user").ask("head", RUNS).status_code == 403


def test_a_session_needs_its_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(UserFactory.create(groups=["trainer"]))
    problem_of(client.post(RUNS, {"dataset": "shapes"}, content_type="application/json"), 403)


def test_answers_are_what_the_schema_says(operator: Caller) -> None:
    schema = Client().get("/api/v1/schema", headers={"accept": "application/vnd.oai.openapi+json"}).json()
    run = succeeded(dataset__name="shapes")
    ModelVersionFactory.create(run=run)
    answers = {
        ("/api/v1/runs", "post", "202"): operator.ask("post", RUNS, {"dataset": "shapes"}),
        ("/api/v1/runs", "get", "200"): operator.ask("get", f"{RUNS}?page_size=1"),
        ("/api/v1/runs/{id}", "get", "200"): operator.ask("get", f"{RUNS}/{run.pk}"),
        ("/api/v1/runs/{id}/extend", "post", "202"): operator.ask("post", f"{RUNS}/{run.pk}/extend", {"epochs": 1}),
        ("/api/v1/queues", "get", "200"): operator.ask("get", "/api/v1/queues"),
        ("/api/v1/queues/{name}/pause", "post", "200"): operator.ask("post", "/api/v1/queues/training/pause"),
    }
    for (path, method, status), answer in answers.items():
        content = schema["paths"][path][method]["responses"][status]["content"]["application/json"]
        jsonschema.validate(answer.json(), {**content["schema"], "components": schema["components"]})
    refused = operator.ask("post", RUNS, {"dataset": "shapes", "settings": {"epochs": 0}})
    content = schema["paths"]["/api/v1/runs"]["post"]["responses"]["400"]["content"]["application/problem+json"]
    jsonschema.validate(refused.json(), {**content["schema"], "components": schema["components"]})

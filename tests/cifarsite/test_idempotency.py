"""`Idempotency-Key`: what is asked for twice is done once, and a key is never burnt for nothing."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile, UploadedFile
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from rest_framework.request import Request

from cifarsite.accounts.models import ApiToken, User
from classifier import services
from classifier.api import picture_views
from classifier.models import Prediction
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.api_routes import Route, api_routes
from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, UserFactory
from tests.tiny_model import picture
from training import tasks
from training.api.idempotency import fingerprint
from training.choices import JobStatus
from training.doorbell import Bell
from training.models import DatasetImport, IdempotencyKey, ModelVersion, TrainingRun
from training.services.uploads import store_upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

KEY = {"idempotency-key": "a-key"}
CREATE_NOTHING = {
    *("batch_cancel", "run_cancel", "queue_pause", "queue_unpause", "dataset_import_cancel", "dataset_accept_copies"),
    "evaluation_cancel",
    *("predictions_delete", "model_promote", "runs_cancel", "notification_read", "notifications_read"),
    *("batches_cancel", "batches_delete"),
}
"""Routes whose POST may be repeated as it is: it makes nothing, and a second time it says so."""


def posts() -> list[Route]:
    return [route for route in api_routes() if route.verb == "post"]


@pytest.mark.parametrize("route", posts(), ids=str)
def test_every_post_that_creates_takes_a_key(route: Route) -> None:
    assert getattr(route.view.post, "is_idempotent", False) is (route.name not in CREATE_NOTHING)


def error_of(response: Response, status: int) -> tuple[str, str]:
    [error] = problem_of(response, status)["errors"]
    return error["location"], error["code"]


# --- Repeating --------------------------------------------------------------------------------------------------------


def ask_predict(program: Program) -> Response:
    return program.predict(picture(8), headers=KEY)


def ask_batch(program: Program) -> Response:
    files = [SimpleUploadedFile("a.png", picture(1)), SimpleUploadedFile("b.png", b"none")]
    return program.post("/api/v1/batch_predict", {"files": files}, KEY)


def ask_base64(program: Program) -> Response:
    import base64

    body = {"image": base64.b64encode(picture(2)).decode()}
    return ask_json(program, "/api/v1/predict_base64", body)


def ask_json(program: Program, path: str, body: object) -> Response:
    headers = {"authorization": f"Token {program.token}", **KEY}
    return program.client.post(path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("ask", [ask_predict, ask_batch, ask_base64])
def test_a_picture_is_classified_once(
    program: Program, champion: ModelVersion, ask: Callable[[Program], Response]
) -> None:
    first, second = ask(program), ask(program)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert second.headers["Content-Type"] == "application/json"
    assert ("Idempotency-Replayed" in first.headers, second.headers["Idempotency-Replayed"]) == (False, "true")
    assert Prediction.objects.count() == 1


def test_without_a_key_everything_is_new(program: Program, champion: ModelVersion) -> None:
    assert [program.predict().status_code for _ in range(2)] == [200, 200]
    assert Prediction.objects.count() == 2
    assert not IdempotencyKey.objects.exists()


def test_other_people_have_keys_of_their_own(program: Program, champion: ModelVersion) -> None:
    other = Program(Client(), make_token(make_user("grace")))
    assert ask_predict(program).json()["prediction_id"] != ask_predict(other).json()["prediction_id"]


@pytest.mark.usefixtures("artifacts_root")
@pytest.mark.parametrize("action", ["", "/clone", "/extend", "/resume"])
def test_a_run_is_queued_once(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.doorbell._send", lambda *_arguments: None)
    owner = UserFactory.create(groups=["trainer"])
    program = Program(Client(raise_request_exception=False), make_token(owner))
    status = JobStatus.FAILED if action == "/resume" else JobStatus.SUCCEEDED
    DatasetFactory.create(name="shapes")
    run = TrainingRunFactory.create(owner=owner, status=status, checkpoint="runs/1/1/c", checkpoint_step=20)
    for epoch in (1, 2):
        EpochMetricFactory.create(run=run, epoch=epoch)
    path = f"/api/v1/runs/{run.pk}{action}" if action else "/api/v1/runs"
    body = {"": {"dataset": "shapes"}, "/extend": {"epochs": 1}}.get(action, {})
    before = TrainingRun.objects.count()
    first, second = ask_json(program, path, body), ask_json(program, path, body)
    assert (first.status_code, second.status_code) == (202, 202), first.content
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]
    assert TrainingRun.objects.count() == before + (action != "/resume")


def test_a_token_is_made_once_and_its_secret_kept_nowhere(program: Program) -> None:
    first, second = (ask_json(program, "/api/v1/tokens", {"scopes": ["predict"]}) for _ in range(2))
    secret = first.json()["token"]
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == {**first.json(), "token": None}
    assert ApiToken.objects.count() == 2
    assert secret not in IdempotencyKey.objects.get().body


# --- What the key was given to ----------------------------------------------------------------------------------------


def test_another_body_is_refused(program: Program, champion: ModelVersion) -> None:
    ask_predict(program)
    assert error_of(program.predict(picture(3), headers=KEY), 422) == ("header:Idempotency-Key", "key_reused")
    assert error_of(program.predict(picture(8), name="other.png", headers=KEY), 422)[1] == "key_reused"
    assert Prediction.objects.count() == 1


def test_another_route_is_refused(program: Program, champion: ModelVersion) -> None:
    ask_predict(program)
    assert error_of(ask_base64(program), 422)[1] == "key_reused"
    assert error_of(program.predict(picture(8), query="?lang=fr", headers=KEY), 422)[1] == "key_reused"


def test_the_first_is_still_at_it(program: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Response] = []
    original = services.classify

    def ask_meanwhile(**options: Any) -> Prediction:
        seen.extend([ask_predict(program), program.predict(picture(3), headers=KEY)])
        return original(**options)

    monkeypatch.setattr(picture_views, "classify", ask_meanwhile)
    assert ask_predict(program).status_code == 200
    assert error_of(seen[0], 409) == ("header:Idempotency-Key", "key_in_flight")
    assert seen[0].headers["Retry-After"] == "1"
    assert error_of(seen[1], 422)[1] == "key_reused"
    assert Prediction.objects.count() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "cl\u00e9", "a\tb", "\x7f"])
def test_a_key_that_is_none(program: Program, champion: ModelVersion, key: str) -> None:
    body = problem_of(program.predict(headers={"idempotency-key": key}), 400)
    assert body["errors"] == [
        {
            "location": "header:Idempotency-Key",
            "code": "bad_key",
            "detail": "Give a key of 1 to 255 visible ASCII characters, such as a UUID.",
        }
    ]
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("key", ["x" * 255, "!~", "6f1c1f0e-0a0b-4f43-9d3a-6a0f3f0b7c11"])
def test_a_key_that_is_one(program: Program, champion: ModelVersion, key: str) -> None:
    assert program.predict(headers={"idempotency-key": key}).status_code == 200


# --- Keys that are not burnt ------------------------------------------------------------------------------------------


def test_a_refusal_leaves_the_key_as_it_was(program: Program, champion: ModelVersion) -> None:
    problem_of(program.predict(b"no picture", headers=KEY), 415)
    assert not IdempotencyKey.objects.exists()
    assert ask_predict(program).status_code == 200


def test_a_failure_leaves_the_key_as_it_was(
    program: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("after the row")

    with monkeypatch.context() as patch:
        patch.setattr(picture_views, "answer_body", broken)
        problem_of(ask_predict(program), 500)
    assert not Prediction.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert ask_predict(program).status_code == 200


def test_a_process_that_dies_leaves_neither_row_nor_answer(
    program: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing catches it."""

    def die(*_arguments: object, **_options: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(IdempotencyKey, "keep", die)
        patch.setattr(IdempotencyKey, "release", lambda _self: None)  # nobody is left to do it
        with pytest.raises(Killed):
            ask_predict(program)
    assert not Prediction.objects.exists()
    assert error_of(ask_predict(program), 409)[1] == "key_in_flight"
    IdempotencyKey.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert program.predict(picture(3), headers=KEY).status_code == 200  # it did nothing: any request may have the key
    assert IdempotencyKey.objects.get().fence == 2
    assert Prediction.objects.count() == 1


def test_who_was_taken_over_does_nothing(
    program: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = services.classify
    later: list[Response] = []

    def slow(**options: Any) -> Prediction:
        monkeypatch.setattr(picture_views, "classify", original)
        IdempotencyKey.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        later.append(ask_predict(program))
        return original(**options)

    monkeypatch.setattr(picture_views, "classify", slow)
    assert error_of(ask_predict(program), 409)[1] == "key_in_flight"
    assert later[0].status_code == 200
    assert Prediction.objects.get().pk == later[0].json()["prediction_id"]
    assert ask_predict(program).content == later[0].content


def test_after_a_day_the_key_is_new(program: Program, champion: ModelVersion) -> None:
    first = ask_predict(program).json()
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    response = program.predict(picture(3), headers=KEY)
    assert response.json()["prediction_id"] != first["prediction_id"]
    assert "Idempotency-Replayed" not in response.headers
    assert program.predict(picture(3), headers=KEY).headers["Idempotency-Replayed"] == "true"


def test_the_daily_task_removes_old_keys(artifacts_root: object, program: Program, champion: ModelVersion) -> None:
    program.predict(headers={"idempotency-key": "old"})
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    ask_predict(program)
    tasks.clean()
    assert [row.key for row in IdempotencyKey.objects.all()] == ["a-key"]


def test_it_needs_an_account_first(stranger: Program) -> None:
    problem_of(stranger.predict(headers=KEY), 401)
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("artifacts_root")
def test_what_is_known_after_the_commit_is_told_again(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.doorbell._send", lambda bell, _task, _pk: setattr(bell, "was_heard", True))
    DatasetFactory.create(name="shapes")
    program = Program(Client(), make_token(UserFactory.create(is_superuser=True)))
    for _ in range(2):
        assert ask_json(program, "/api/v1/runs", {"dataset": "shapes"}).json()["broker_reached"] is True
    assert json.loads(IdempotencyKey.objects.get().body)["broker_reached"] is True


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_an_archive_is_copied(
    artifacts_root: object, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[tuple[bool, str]] = []

    def store(upload: UploadedFile[Any]) -> str:
        copied.append((connection.in_atomic_block, str(upload.name)))
        return store_upload(upload)

    monkeypatch.setattr("training.services.imports.store_upload", store)
    monkeypatch.setattr("training.services.imports.ring", lambda _task, _pk: Bell(was_heard=True))
    program = Program(Client(), make_token(UserFactory.create(is_superuser=True)))
    for _ in range(2):
        body = {"name": "shapes", "source": "archive", "file": SimpleUploadedFile("shapes.zip", b"PK")}
        response = program.post("/api/v1/datasets/imports", body, headers={"Idempotency-Key": "once"})
        assert response.status_code == 202, response.content
    assert copied == [(False, "shapes.zip")]
    assert DatasetImport.objects.count() == 1


# --- What makes a request the same ------------------------------------------------------------------------------------


def request_of(data: object, *, path: str = "/api/v1/x") -> Request:
    request = Request(RequestFactory().post(path))
    request._full_data = data  # type: ignore[attr-defined]  # as if it had been parsed
    return request


def form(*files: object, **fields: str) -> MultiValueDict[str, object]:
    return MultiValueDict({"file": list(files), **{name: [value] for name, value in fields.items()}})


def file(data: bytes, name: str = "a.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def test_the_same_request_has_the_same_hash() -> None:
    assert fingerprint(request_of(form(file(b"1"), x="2"))) == fingerprint(request_of(form(file(b"1"), x="2")))
    assert fingerprint(request_of({"a": 1, "b": [2]})) == fingerprint(request_of({"b": [2], "a": 1}))


def test_other_requests_have_other_hashes() -> None:
    requests = [
        request_of(form(file(b"1"))),
        request_of(form(file(b"2"))),
        request_of(form(file(b"1", "b.png"))),
        request_of(form(file(b"1"), file(b""))),
        request_of(form(file(b"1"), x="2")),
        request_of(form(file(b"1"), x="3")),
        request_of({}),
        request_of({"a": 1}),
        request_of({"a": "1"}),
        request_of({}, path="/api/v1/y"),
        request_of({}, path="/api/v1/x?lang=fr"),
    ]
    assert len({fingerprint(request) for request in requests}) == len(requests)


def test_a_hashed_file_can_be_read_afterwards() -> None:
    sent = file(b"12345")
    fingerprint(request_of(form(sent)))
    assert sent.read() == b"12345"


def test_a_large_file_is_never_held_in_memory() -> None:
    with TemporaryUploadedFile("a.zip", "application/zip", 0, None) as large:
        large.file.truncate(64 * 1024 * 1024)  # type: ignore[union-attr]  # it has one
        large.size = 64 * 1024 * 1024
        tracemalloc.start()
        fingerprint(request_of(form(large)))
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_the_account_s_keys_go_with_it(program: Program, user: User, champion: ModelVersion) -> None:
    ask_predict(program)
    user.delete()
    assert not IdempotencyKey.objects.exists()

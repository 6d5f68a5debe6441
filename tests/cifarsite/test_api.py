"""The API's contract: addresses, keys, values and types, as clients of an earlier service rely on them."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from cifarsite import health
from cifarsite.accounts.models import ApiToken, User
from classifier.models import Prediction
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.tiny_model import picture, register_version
from training.choices import ModelState
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.models import Canary, ModelVersion, Worker

pytestmark = pytest.mark.django_db

FRENCH = ["Avion", "Automobile", "Oiseau", "Chat", "Cerf", "Chien", "Grenouille", "Cheval", "Navire", "Camion"]
ENGLISH = list(CIFAR10_CLASS_KEYS)
LANGUAGES = [
    ("", {}, ENGLISH),
    ("?lang=fr", {}, FRENCH),
    ("?lang=en", {"accept-language": "fr"}, ENGLISH),
    ("?lang=fr", {"accept-language": "en"}, FRENCH),
    ("?lang=FR-ca", {}, FRENCH),
    ("", {"accept-language": "fr-FR,fr;q=0.9,en;q=0.5"}, FRENCH),
    ("", {"accept-language": "de, fr;q=0.3"}, FRENCH),
    ("", {"accept-language": "de"}, ENGLISH),
    ("", {"accept-language": "*"}, ENGLISH),
    ("", {"accept-language": ";;=,\u00e9"}, ENGLISH),
]


def test_the_front_door_links_to_everything(stranger: Program) -> None:
    body = stranger.get("/api/v1/").json()
    assert list(body) == ["message", "api_version", "links"]
    assert body["api_version"] == "1.0.0"
    root = "http://testserver/api/v1"
    assert body["links"] == {
        "health": f"{root}/health",
        "ready": f"{root}/ready",
        "classes": f"{root}/classes",
        "model_info": f"{root}/model/info",
        "predict": f"{root}/predict",
        "batch_predict": f"{root}/batch_predict",
        "predict_base64": f"{root}/predict_base64",
        "predictions": f"{root}/predictions",
        "models": f"{root}/models",
        "datasets": f"{root}/datasets",
        "runs": f"{root}/runs",
        "queues": f"{root}/queues",
        "tokens": f"{root}/tokens",
        "schema": f"{root}/schema",
        "swagger": "http://testserver/docs",
        "redoc": "http://testserver/redoc",
    }


@pytest.mark.parametrize(("query", "headers", "names"), LANGUAGES)
def test_classes(
    stranger: Program, champion: ModelVersion, query: str, headers: dict[str, str], names: list[str]
) -> None:
    response = stranger.get(f"/api/v1/classes{query}", headers)
    assert response.status_code == 200
    assert response.json() == {"num_classes": 10, "classes": {str(i): name for i, name in enumerate(names)}}


def test_a_language_that_is_not_spoken_is_named(stranger: Program, champion: ModelVersion) -> None:
    body = problem_of(stranger.get("/api/v1/classes?lang=tlh"), 400)
    assert body["errors"][0]["location"] == "lang"


def test_no_cookie_changes_the_language(stranger: Program, champion: ModelVersion) -> None:
    stranger.client.cookies["django_language"] = "fr"
    assert stranger.get("/api/v1/classes").json()["classes"]["0"] == "airplane"


def test_names_of_an_imported_dataset_are_their_keys(stranger: Program) -> None:
    register_version(state=ModelState.CHAMPION, class_keys=["circle", "square"])
    assert stranger.get("/api/v1/classes?lang=fr").json() == {
        "num_classes": 2,
        "classes": {"0": "circle", "1": "square"},
    }


def test_model_info(stranger: Program, champion: ModelVersion) -> None:
    assert stranger.get("/api/v1/model/info").json() == {
        "model_name": "nearest_colour",
        "num_classes": 10,
        "input_size": "32x32x3",
        "total_parameters": 30,
        "trainable_parameters": 30,
        "device": "cpu",
    }


@pytest.mark.parametrize("path", ["/api/v1/classes", "/api/v1/model/info"])
def test_without_a_champion_they_ask_to_come_back(stranger: Program, path: str) -> None:
    response = stranger.get(path)
    body = problem_of(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert body["errors"][0]["code"] == "model_not_ready"


@pytest.mark.parametrize(("query", "headers", "names"), LANGUAGES)
def test_predict(
    program: Program, champion: ModelVersion, query: str, headers: dict[str, str], names: list[str]
) -> None:
    response = program.predict(picture(8), query=query, headers=headers)
    assert response.status_code == 200
    body = response.json()
    row = Prediction.objects.get()
    assert list(body) == [
        "class_id",
        "class_name",
        "confidence",
        "probabilities",
        "class_key",
        "top",
        "out_of_distribution",
        "model_version",
        "model_sha256",
        "latency_ms",
        "prediction_id",
    ]
    assert (body["class_id"], body["class_name"], body["class_key"]) == (8, names[8], "ship")
    assert list(body["probabilities"]) == names
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert body["confidence"] == body["probabilities"][names[8]] > 0.9
    assert body["top"][0] == {
        "class_id": 8,
        "class_key": "ship",
        "class_name": names[8],
        "confidence": body["confidence"],
    }
    shares = [entry["confidence"] for entry in body["top"]]
    assert shares == sorted(body["probabilities"].values(), reverse=True)[:3]
    assert body["out_of_distribution"] is False
    assert (body["model_version"], body["model_sha256"]) == (str(champion), champion.package_sha256)
    assert isinstance(body["latency_ms"], float)
    assert body["prediction_id"] == row.pk
    assert row.source == "api"


def test_a_model_with_two_classes_has_a_top_of_two(program: Program) -> None:
    register_version(state=ModelState.CHAMPION, class_keys=["circle", "square"])
    assert len(program.predict().json()["top"]) == 2


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_every_format_is_taken(program: Program, champion: ModelVersion, image_format: str) -> None:
    data = picture(1, size=(90, 60), image_format=image_format)
    assert program.predict(data, name="upload.bin").json()["class_key"] == "automobile"


def test_a_session_may_predict_with_its_csrf_token(user: User, champion: ModelVersion) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    token = "a" * 32
    client.cookies["csrftoken"] = token
    program = Program(client)
    assert program.predict(headers={"x-csrftoken": token}).status_code == 200
    assert Prediction.objects.get().owner == user


def test_a_session_without_its_csrf_token_is_refused(user: User, champion: ModelVersion) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    problem_of(Program(client).predict(), 403)
    assert not Prediction.objects.exists()


def test_a_token_needs_no_csrf(program: Program, champion: ModelVersion) -> None:
    program.client.handler.enforce_csrf_checks = True
    assert program.predict().status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Token", "Token wrong", "Token a b", "Token " + "f" * 5000, "Token \u00e9\u00ff", "Bearer x", "Basic YTpi"],
)
def test_a_wrong_token_is_refused(stranger: Program, champion: ModelVersion, authorization: str) -> None:
    response = stranger.predict(headers={"authorization": authorization})
    problem_of(response, 401)
    assert response.headers["WWW-Authenticate"] == "Token"
    assert not Prediction.objects.exists()


def test_a_token_in_the_address_is_refused(stranger: Program, user: User, champion: ModelVersion) -> None:
    token = make_token(user)
    for name in ("token", "authorization", "access_token", "auth_token", "api_key", "APIKEY"):
        body = problem_of(stranger.predict(query=f"?{name}={token}"), 401)
        assert body["errors"] == [
            {
                "location": "header:Authorization",
                "code": "token_in_address",
                "detail": "A token does not belong in the address, which logs and histories keep: revoke this one, and "
                "send another in the header “Authorization: Token …”.",
            }
        ]
        assert token not in str(body)


def test_a_good_token_does_not_excuse_one_in_the_address(program: Program, champion: ModelVersion) -> None:
    problem_of(program.predict(query=f"?token={program.token}"), 401)
    assert not Prediction.objects.exists()


def test_an_expired_token_is_refused_and_its_row_kept(stranger: Program, user: User, champion: ModelVersion) -> None:
    stranger.token = make_token(user, lifetime=timedelta(seconds=-1))
    problem_of(stranger.predict(), 401)
    assert ApiToken.objects.count() == 1  # refusing writes nothing


def test_a_revoked_token_is_refused(program: Program, champion: ModelVersion) -> None:
    ApiToken.objects.all().delete()
    problem_of(program.predict(), 401)


def test_a_closed_account_is_refused(program: Program, user: User, champion: ModelVersion) -> None:
    User.objects.update(is_active=False)
    problem_of(program.predict(), 401)


def test_a_token_that_never_expires_is_taken(stranger: Program, user: User, champion: ModelVersion) -> None:
    stranger.token = make_token(user, lifetime=None)
    assert stranger.predict().status_code == 200


def test_a_token_is_stored_hashed(user: User) -> None:
    token = make_token(user)
    row = ApiToken.objects.get()
    assert token not in (row.digest, row.token_key)
    assert len(token) == 64


def test_two_peoples_answers_are_apart(program: Program, champion: ModelVersion, user: User) -> None:
    other = make_user("grace")
    theirs = Program(Client(), make_token(other))
    mine_id = program.predict(picture(1)).json()["prediction_id"]
    theirs_id = theirs.predict(picture(2)).json()["prediction_id"]
    assert list(Prediction.objects.owned_by(user).values_list("pk", flat=True)) == [mine_id]
    assert list(Prediction.objects.owned_by(other).values_list("pk", flat=True)) == [theirs_id]
    for path in (f"/history/{theirs_id}/", f"/history/{theirs_id}/thumbnail.jpg"):
        client = Client()
        client.force_login(user)
        assert client.get(path).status_code == 404


def test_predict_costs_two_queries(
    program: Program, champion: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    program.predict()
    with django_assert_num_queries(2):  # the token's owner, and the answer's row
        program.predict()


def test_a_promotion_changes_the_answer(program: Program, champion: ModelVersion) -> None:
    from classifier.inference import champion_slot
    from tests.tiny_model import crown

    assert program.predict(picture(1)).json()["class_id"] == 1
    other = register_version(shift=1)
    crown(other)
    champion_slot._check_at = 0.0  # a second passes
    assert program.predict(picture(1)).status_code == 200  # by the one or the other: nobody waits for the new one
    champion_slot.settle()
    body = program.predict(picture(1)).json()
    assert (body["class_id"], body["model_version"]) == (0, str(other))


# --- Health -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch look within the test's own transaction instead of beside it."""

    class Now(threading.Thread):
        def start(self) -> None:
            self.run()

        def join(self, timeout: float | None = None) -> None:
            """Nothing to wait for."""

    monkeypatch.setattr("cifarsite.health.Thread", Now)
    monkeypatch.setattr("cifarsite.health.connection.close", lambda: None)


def heartbeat(*, gpu_name: str = "", age: timedelta = timedelta(0), name: str = "training@here") -> None:
    now = timezone.now()
    Worker.objects.create(name=name, gpu_name=gpu_name, started_at=now, last_seen_at=now - age)


def healthy(gpu_available: bool | None, gpu_name: str | None) -> dict[str, Any]:
    return {"status": "healthy", "gpu_available": gpu_available, "gpu_name": gpu_name, "api_version": "1.0.0"}


@pytest.mark.usefixtures("looks_at_once")
def test_health_with_a_worker_without_a_gpu(stranger: Program) -> None:
    heartbeat()
    response = stranger.get("/api/v1/health")
    assert (response.status_code, response.json()) == (200, healthy(gpu_available=False, gpu_name=None))
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.usefixtures("looks_at_once")
def test_health_names_a_gpu_that_any_worker_has(stranger: Program) -> None:
    heartbeat(name="a")
    heartbeat(name="b", gpu_name="NVIDIA H100")
    assert stranger.get("/api/v1/health").json() == healthy(gpu_available=True, gpu_name="NVIDIA H100")


@pytest.mark.usefixtures("looks_at_once")
def test_health_without_a_recent_heartbeat_does_not_know(stranger: Program) -> None:
    heartbeat(gpu_name="NVIDIA H100", age=timedelta(minutes=5))
    assert stranger.get("/api/v1/health").json() == healthy(gpu_available=None, gpu_name=None)


@pytest.mark.usefixtures("looks_at_once")
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_health_without_a_database_is_alive(
    stranger: Program, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def away(**_options: object) -> None:
        raise error

    monkeypatch.setattr(Worker.objects, "filter", away)
    assert stranger.get("/api/v1/health").json() == healthy(gpu_available=None, gpu_name=None)


def test_health_does_not_wait_for_a_database_that_hangs(stranger: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(health.GpuWatch, "_look", lambda self: release.wait(30))
    began = timezone.now()
    assert stranger.get("/api/v1/health").json() == healthy(gpu_available=None, gpu_name=None)
    assert (timezone.now() - began).total_seconds() < 5
    release.set()


# --- Readiness --------------------------------------------------------------------------------------------------------


def test_ready(stranger: Program, champion: ModelVersion) -> None:
    response = stranger.get("/api/v1/ready")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ready", "canary": {"default": None, "inference": None}},
    )


def test_ready_tells_how_long_ago_canaries_came_and_minds_no_late_one(
    stranger: Program, champion: ModelVersion
) -> None:
    now = timezone.now()
    Canary.objects.create(queue="inference", sent_at=now - timedelta(hours=2), ran_at=now - timedelta(hours=1))
    response = stranger.get("/api/v1/ready")
    assert response.status_code == 200
    assert response.json()["canary"] == {"default": None, "inference": pytest.approx(3600, abs=60)}


def test_not_ready_without_a_champion(stranger: Program) -> None:
    response = stranger.get("/api/v1/ready")
    body = problem_of(response, 503)
    assert [error["location"] for error in body["errors"]] == ["model"]
    assert "Retry-After" in response.headers


def test_not_ready_without_a_broker(stranger: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu import Connection

    nowhere = Connection("redis+socket:///nonexistent/valkey.sock")
    monkeypatch.setattr("cifarsite.health.app.connection_for_write", lambda **_options: nowhere)
    body = problem_of(stranger.get("/api/v1/ready"), 503)
    assert [error["location"] for error in body["errors"]] == ["broker"]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_not_ready_without_a_database(
    stranger: Program, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def away() -> None:
        raise error

    monkeypatch.setattr("cifarsite.health.connection.cursor", away)
    body = problem_of(stranger.get("/api/v1/ready"), 503)
    assert [error["location"] for error in body["errors"]] == ["database", "model"]


# --- Documentation ----------------------------------------------------------------------------------------------------


@pytest.fixture
def schema(stranger: Program) -> dict[str, Any]:
    response = stranger.get("/api/v1/schema", {"accept": "application/vnd.oai.openapi+json"})
    assert response.status_code == 200
    return dict(response.json())


def test_the_schema_lists_every_address(schema: dict[str, Any]) -> None:
    assert {path.removeprefix("/api/v1"): set(item) for path, item in schema["paths"].items()} == {
        "/": {"get"},
        "/account": {"get", "patch"},
        "/account/data": {"get"},
        "/account/webhook": {"delete", "get", "put"},
        "/batch_predict": {"post"},
        "/batches": {"get", "post"},
        "/batches/cancel": {"post"},
        "/batches/delete": {"post"},
        "/batches/{id}": {"delete", "get"},
        "/batches/{id}/cancel": {"post"},
        "/batches/{id}/items": {"get"},
        "/batches/{id}/results.csv": {"get"},
        "/batches/{id}/results.jsonl": {"get"},
        "/batches/{id}/resume": {"post"},
        "/classes": {"get"},
        "/datasets": {"get"},
        "/datasets/{id}": {"get"},
        "/datasets/{id}/accept-copies": {"post"},
        "/datasets/imports": {"get", "post"},
        "/datasets/imports/{id}": {"get"},
        "/datasets/imports/{id}/cancel": {"post"},
        "/evaluations/{id}": {"get"},
        "/evaluations/{id}/answers": {"get"},
        "/evaluations/{id}/cancel": {"post"},
        "/evaluations/{id}/map": {"get"},
        "/health": {"get"},
        "/model/info": {"get"},
        "/models": {"get", "post"},
        "/models/{id}": {"get"},
        "/models/{id}/evaluations": {"get", "post"},
        "/models/{id}/package": {"get"},
        "/models/{id}/promote": {"post"},
        "/models/promotions": {"get"},
        "/models/rollback": {"post"},
        "/notifications": {"get"},
        "/notifications/read": {"post"},
        "/notifications/{id}/read": {"post"},
        "/predict": {"post"},
        "/predict_base64": {"post"},
        "/predictions": {"get"},
        "/predictions/{id}": {"delete", "get"},
        "/predictions/{id}/label": {"put"},
        "/predictions/{id}/original": {"delete", "get"},
        "/predictions/{id}/thumbnail": {"get"},
        "/predictions/delete": {"post"},
        "/predictions/export.csv": {"get"},
        "/predictions/export.jsonl": {"get"},
        "/predictions/{id}/activation_map": {"get"},
        "/predictions/{id}/activation_map.png": {"get"},
        "/predictions/{id}/neighbours": {"get"},
        "/predictions/{id}/seen": {"get"},
        "/predictions/{id}/share": {"delete", "get", "put"},
        "/queues": {"get"},
        "/queues/{name}/pause": {"post"},
        "/queues/{name}/unpause": {"post"},
        "/ready": {"get"},
        "/runs": {"get", "post"},
        "/runs/cancel": {"post"},
        "/runs/compare": {"get"},
        "/runs/export.csv": {"get"},
        "/runs/export.jsonl": {"get"},
        "/runs/{id}": {"get", "patch"},
        "/runs/{id}/cancel": {"post"},
        "/runs/{id}/clone": {"post"},
        "/runs/{id}/events": {"get"},
        "/runs/{id}/extend": {"post"},
        "/runs/{id}/metrics": {"get"},
        "/runs/{id}/resume": {"post"},
        "/tokens": {"get", "post"},
        "/tokens/{key}": {"delete", "get"},
        "/workers": {"get"},
    }


def test_the_schema_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_the_schema_takes_a_file(schema: dict[str, Any]) -> None:
    form = schema["paths"]["/api/v1/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"] == {"$ref": "#/components/schemas/Picture"}
    file = schema["components"]["schemas"]["Picture"]["properties"]["file"]
    assert (file["type"], file["format"]) == ("string", "binary")


def test_the_schema_asks_for_a_token_where_one_is_needed(schema: dict[str, Any]) -> None:
    assert {"token"} <= set(schema["components"]["securitySchemes"])
    assert {"token": ["predict"]} in schema["paths"]["/api/v1/predict"]["post"]["security"]
    assert {"token": ["account"]} in schema["paths"]["/api/v1/tokens"]["get"]["security"]
    assert {"token": []} in schema["paths"]["/api/v1/account"]["get"]["security"]
    assert schema["paths"]["/api/v1/classes"]["get"].get("security", [{}]) == [{}]


def test_answers_are_what_the_schema_says(
    schema: dict[str, Any], program: Program, stranger: Program, champion: ModelVersion
) -> None:
    answers = {
        ("/api/v1/", "get"): stranger.get("/api/v1/"),
        ("/api/v1/health", "get"): stranger.get("/api/v1/health"),
        ("/api/v1/ready", "get"): stranger.get("/api/v1/ready"),
        ("/api/v1/classes", "get"): stranger.get("/api/v1/classes"),
        ("/api/v1/model/info", "get"): stranger.get("/api/v1/model/info"),
        ("/api/v1/predict", "post"): program.predict(),
    }
    for (path, method), answer in answers.items():
        content = schema["paths"][path][method]["responses"]["200"]["content"]["application/json"]
        jsonschema.validate(answer.json(), {**content["schema"], "components": schema["components"]})
    refusal = stranger.predict()
    content = schema["paths"]["/api/v1/predict"]["post"]["responses"]["401"]["content"]["application/problem+json"]
    jsonschema.validate(refusal.json(), {**content["schema"], "components": schema["components"]})


def test_every_example_of_the_schema_fits_it(schema: dict[str, Any]) -> None:
    seen = 0
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    for example in content.get("examples", {}).values():
                        rules = {**content["schema"], "components": schema["components"]}
                        jsonschema.validate(example["value"], rules)
                        seen += 1
            assert operation["summary"], (path, method)
    assert seen >= 4


@pytest.mark.parametrize("path", ["/docs", "/docs?script=", "/redoc"])
def test_the_documentation_names_no_other_host_and_holds_no_inline_code(stranger: Program, path: str) -> None:
    response = stranger.get(path)
    assert response.status_code == 200
    text = response.content.decode()
    assert "https://" not in text
    assert "<style" not in text
    assert "<script>" not in text
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy


def test_upload_of_two_pictures_is_refused(program: Program, champion: ModelVersion) -> None:
    files = [SimpleUploadedFile("a.png", picture(0)), SimpleUploadedFile("b.png", picture(1))]
    body = problem_of(program.post("/api/v1/predict", {"file": files}), 400)
    assert body["errors"][0] == {"location": "file", "code": "too_many", "detail": body["detail"]}

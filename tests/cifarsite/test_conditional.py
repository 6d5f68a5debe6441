"""`ETag` and 304, who may keep what, and which other origins may ask."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from cifarsite.accounts.models import User
from tests.api_fixtures import Program, make_token, problem_of
from tests.factories import TrainingRunFactory, UserFactory
from training.models import ModelVersion, TrainingRun

pytestmark = pytest.mark.django_db

PRIVATE = "private, no-cache"
ELSEWHERE = "https://example.org"


@pytest.fixture
def operator(artifacts_root: object) -> Program:
    return Program(Client(), make_token(UserFactory.create(is_superuser=True)))


@pytest.mark.parametrize("path", ["classes", "model/info", "runs", "runs/{run}", "queues", "tokens", "schema", ""])
def test_an_answer_that_has_not_changed_is_not_sent_again(operator: Program, champion: ModelVersion, path: str) -> None:
    run = TrainingRunFactory.create()
    address = f"/api/v1/{path.format(run=run.pk)}"
    first = operator.get(address)
    assert (first.status_code, first.headers["Cache-Control"]) == (200, PRIVATE)
    second = operator.get(address, {"if-none-match": first.headers["ETag"]})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["ETag"] == first.headers["ETag"]
    assert second.headers["Cache-Control"] == PRIVATE
    assert "Accept-Language" in second.headers["Vary"]


def test_an_answer_that_has_changed_is_sent(operator: Program) -> None:
    run = TrainingRunFactory.create()
    address = f"/api/v1/runs/{run.pk}"
    etag = operator.get(address).headers["ETag"]
    TrainingRun.objects.update(progress_done=5)
    response = operator.get(address, {"if-none-match": etag})
    assert (response.status_code, response.json()["progress"]["done"]) == (200, 5)
    assert response.headers["ETag"] != etag


def test_languages_are_different_answers(stranger: Program, champion: ModelVersion) -> None:
    etag = stranger.get("/api/v1/classes").headers["ETag"]
    response = stranger.get("/api/v1/classes", {"if-none-match": etag, "accept-language": "fr"})
    assert (response.status_code, response.json()["classes"]["0"]) == (200, "Avion")


def test_a_refusal_has_no_etag_and_is_nobody_else_s(stranger: Program, operator: Program) -> None:
    for response in (stranger.get("/api/v1/runs"), operator.get("/api/v1/runs/123")):
        assert "ETag" not in response.headers
        assert response.headers["Cache-Control"] == PRIVATE


def test_an_etag_opens_nothing(stranger: Program, operator: Program) -> None:
    etag = operator.get("/api/v1/runs").headers["ETag"]
    problem_of(stranger.get("/api/v1/runs", {"if-none-match": etag}), 401)


def test_a_post_is_never_answered_304(operator: Program, champion: ModelVersion) -> None:
    response = operator.predict(headers={"if-none-match": "*"})
    assert (response.status_code, response.headers["Cache-Control"]) == (200, PRIVATE)
    assert "ETag" not in response.headers


def test_health_is_never_kept(stranger: Program) -> None:
    response = stranger.get("/api/v1/health")
    assert "no-store" in response.headers["Cache-Control"]
    assert "ETag" not in response.headers


def test_pages_are_as_they_were(user: User) -> None:
    client = Client()
    client.force_login(user)
    response = client.get("/history/")
    assert "ETag" not in response.headers


# --- Other origins ----------------------------------------------------------------------------------------------------


def preflight(client: Client, path: str = "/api/v1/predict") -> dict[str, str]:
    headers = {
        "origin": ELSEWHERE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key",
    }
    response = client.options(path, headers=headers)
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


def test_other_origins_are_kept_out(program: Program, champion: ModelVersion) -> None:
    assert preflight(program.client) == {}
    response = program.get("/api/v1/classes", {"origin": ELSEWHERE})
    assert "access-control-allow-origin" not in response.headers


def test_the_origins_of_the_settings_are_let_in(program: Program, champion: ModelVersion, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ELSEWHERE]
    assert preflight(program.client) == {
        "access-control-allow-origin": ELSEWHERE,
        "access-control-allow-headers": "accept, authorization, content-type, idempotency-key, if-none-match",
        "access-control-allow-methods": "DELETE, GET, OPTIONS, PATCH, POST, PUT",
        "access-control-expose-headers": "etag, idempotency-replayed, location, retry-after",
        "access-control-max-age": "86400",
    }
    response = program.predict(headers={"origin": ELSEWHERE})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ELSEWHERE
    assert response.headers["access-control-expose-headers"] == "etag, idempotency-replayed, location, retry-after"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(("origin", "path"), [("https://evil.example", "/api/v1/classes"), (ELSEWHERE, "/history/")])
def test_nobody_else_and_nothing_else(
    program: Program, champion: ModelVersion, settings: Settings, origin: str, path: str
) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ELSEWHERE]
    assert "access-control-allow-origin" not in program.get(path, {"origin": origin}).headers
    assert "access-control-allow-origin" not in preflight(program.client, "/tokens/")

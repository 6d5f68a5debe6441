"""Rates of accounts and of addresses that guess tokens, through the API and the page."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from cifarsite import authentication
from cifarsite.accounts.models import User
from classifier.models import Prediction
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.factories import UserFactory
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def rates(settings: Settings) -> dict[str, int]:
    rates = dict.fromkeys(settings.RATES, 0)
    settings.RATES = rates
    return rates


def test_by_default_there_is_no_limit(settings: Settings) -> None:
    assert settings.RATES == {"predict": 0, "batch": 0, "train": 0, "api": 0}


def test_one_too_many_is_told_when_to_come_back(
    program: Program, champion: ModelVersion, rates: dict[str, int]
) -> None:
    rates["predict"] = 2
    assert [program.predict().status_code for _ in range(2)] == [200, 200]
    response = program.predict()
    wait = int(response.headers["Retry-After"])
    assert 58 <= wait <= 60
    body = problem_of(response, 429)
    assert body["errors"] == [
        {
            "location": "account",
            "code": "throttled",
            "detail": f"This may be asked 2 times in a minute. Try again in {wait} seconds.",
        }
    ]
    assert Prediction.objects.count() == 2


def test_others_are_not_held_up(program: Program, champion: ModelVersion, rates: dict[str, int]) -> None:
    rates["predict"] = 1
    assert program.predict().status_code == 200
    other = Program(Client(), make_token(make_user("grace")))
    assert (program.predict().status_code, other.predict().status_code) == (429, 200)


def test_all_tokens_and_sessions_of_an_account_count_together(
    program: Program, user: User, champion: ModelVersion, rates: dict[str, int]
) -> None:
    rates["predict"] = 2
    second = Program(Client(), make_token(user))
    page = Client()
    page.force_login(user)
    assert [program.predict().status_code, second.predict().status_code] == [200, 200]
    response = page.post("/classify/", {"file": SimpleUploadedFile("a.png", picture())})
    assert response.status_code == 429
    assert 58 <= int(response.headers["Retry-After"]) <= 60
    assert "This may be asked 2 times in a minute." in response.content.decode()
    assert page.post("/", {"file": SimpleUploadedFile("a.png", picture())}).status_code == 429
    assert Prediction.objects.count() == 2


@pytest.mark.parametrize(
    ("rate", "path", "verb"),
    [
        ("predict", "/api/v1/predict", "post"),
        ("predict", "/api/v1/predict_base64", "post"),
        ("batch", "/api/v1/batch_predict", "post"),
        ("train", "/api/v1/runs", "post"),
        ("train", "/api/v1/runs/1/clone", "post"),
        ("train", "/api/v1/runs/1/extend", "post"),
        ("train", "/api/v1/runs/1/resume", "post"),
        ("api", "/api/v1/runs", "get"),
        ("api", "/api/v1/runs/1/cancel", "post"),
        ("api", "/api/v1/queues", "get"),
        ("api", "/api/v1/workers", "get"),
        ("api", "/api/v1/tokens", "post"),
    ],
)
def test_each_route_counts_against_its_rate(rates: dict[str, int], rate: str, path: str, verb: str) -> None:
    owner = UserFactory.create(is_superuser=True)
    client = Client(headers={"authorization": f"Token {make_token(owner)}"}, raise_request_exception=False)
    others = [name for name in rates if name != rate]
    rates.update(dict.fromkeys(others, 1))
    assert 429 not in {getattr(client, verb)(path).status_code for _ in range(3)}
    rates[rate] = 1
    assert [getattr(client, verb)(path).status_code == 429 for _ in range(2)] == [False, True]


@pytest.mark.parametrize("path", ["health", "classes", "model/info", "schema", ""])
def test_who_does_not_sign_in_is_not_counted(
    stranger: Program, champion: ModelVersion, rates: dict[str, int], path: str
) -> None:
    rates["api"] = 1
    assert {stranger.get(f"/api/v1/{path}").status_code for _ in range(3)} == {200}


def test_without_the_cache_the_site_answers(
    program: Program, champion: ModelVersion, rates: dict[str, int], settings: Settings
) -> None:
    rates["predict"] = 1
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "unix:///nonexistent/valkey.sock"}}
    assert [program.predict().status_code for _ in range(2)] == [200, 200]


# --- Guessing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "GUESSES_PER_MINUTE", 3)


@pytest.mark.usefixtures("three_guesses")
def test_guessing_is_bounded(stranger: Program, program: Program) -> None:
    wrong = {"authorization": "Token wrong"}
    answers = [stranger.get("/api/v1/runs", wrong) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    for answer in answers[3:]:
        assert problem_of(answer, 429)["errors"][0]["code"] == "throttled"
        assert 58 <= int(answer.headers["Retry-After"]) <= 60
    problem_of(program.get("/api/v1/tokens"), 429)  # a good token from there would tell that it was guessed


@pytest.mark.usefixtures("three_guesses")
def test_other_addresses_and_public_parts_are_not_held_up(program: Program, champion: ModelVersion) -> None:
    for _ in range(5):
        program.get("/api/v1/runs", {"authorization": "Token wrong"})
    elsewhere = Client(REMOTE_ADDR="192.0.2.7", headers={"authorization": f"Token {program.token}"})
    assert elsewhere.get("/api/v1/tokens").status_code == 200
    assert program.get("/api/v1/classes").status_code == 200


@pytest.mark.usefixtures("three_guesses")
def test_who_has_signed_in_is_not_held_up(stranger: Program, user: User) -> None:
    for _ in range(5):
        stranger.get("/api/v1/runs", {"authorization": "Token wrong"})
    browser = Client()
    browser.force_login(user)
    assert browser.get("/api/v1/tokens").status_code == 200


@pytest.mark.usefixtures("three_guesses")
def test_every_process_knows(stranger: Program) -> None:
    for _ in range(3):
        stranger.get("/api/v1/runs", {"authorization": "Token wrong"})
    authentication.guesses.forget()  # as a process that saw none of them
    problem_of(stranger.get("/api/v1/runs", {"authorization": "Token wrong"}), 429)


@pytest.mark.usefixtures("three_guesses")
def test_who_comes_without_a_token_guesses_nothing(stranger: Program) -> None:
    assert {stranger.get("/api/v1/runs").status_code for _ in range(5)} == {401}

"""The API of tokens: shapes, what a token may make and revoke, and whose they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts import tokens as services
from cifarsite.accounts.models import ApiToken, User
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.training.people import prove
from training.models import ModelVersion

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens"


def ask(token: str, method: str, path: str = TOKENS, body: object = None) -> Response:
    content: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
    client = Client(raise_request_exception=False)
    return getattr(client, method)(path, headers={"authorization": f"Token {token}"}, **content)  # type: ignore[no-any-return]


def make(token: str, **body: object) -> Response:
    return ask(token, "post", body=body)


def test_it_is_made_shown_once_and_described(user: User) -> None:
    mother = make_token(user)
    response = make(mother, name="camera", scopes=["train", "predict"], days=1)
    assert response.status_code == 201, response.content
    body = response.json()
    secret = body.pop("token")
    row = ApiToken.objects.get(name="camera")
    assert response.headers["Location"] == f"http://testserver{TOKENS}/{row.token_key}"
    assert response.headers["Cache-Control"] == "no-store"
    assert body == {
        "id": secret[:15],
        "name": "camera",
        "scopes": ["predict", "train"],
        "created": row.created.isoformat().replace("+00:00", "Z"),
        "last_used": None,
        "expires": row.expiry.isoformat().replace("+00:00", "Z"),
        "expired": False,
    }
    assert ask(mother, "get", f"{TOKENS}/{row.token_key}").json() == body
    assert secret not in ask(mother, "get").content.decode()


def test_it_works_for_its_scopes_alone(user: User, champion: ModelVersion) -> None:
    program = Program(Client(), make(make_token(user), scopes=["predict"]).json()["token"])
    assert program.predict().status_code == 200
    assert problem_of(program.get("/api/v1/runs"), 403)["errors"][0]["code"] == "scope_missing"


def test_the_list_holds_one_s_own_the_newest_first(user: User) -> None:
    make_token(make_user("grace"))
    mother = make_token(user)
    for name in ("first", "second"):
        make(mother, name=name, scopes=["predict"])
    body = ask(mother, "get").json()
    assert [token["name"] for token in body["results"]] == ["second", "first", ""]
    assert (body["next"], body["previous"]) == (None, None)


def test_the_list_comes_in_pages(user: User) -> None:
    mother = make_token(user)
    make(mother, name="newest", scopes=["predict"])
    first = ask(mother, "get", f"{TOKENS}?page_size=1").json()
    assert [token["name"] for token in first["results"]] == ["newest"]
    second = ask(mother, "get", first["next"].removeprefix("http://testserver")).json()
    assert [token["name"] for token in second["results"]] == [""]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "location", "code"),
    [
        ("ordering=password", "ordering", "unknown"),
        ("page_size=0", "page_size", "min_value"),
        ("page_size=101", "page_size", "max_value"),
        ("page_size=x", "page_size", "invalid"),
        (f"cursor={'x' * 201}", "cursor", "max_length"),
    ],
)
def test_a_wrong_parameter_is_named(user: User, query: str, location: str, code: str) -> None:
    refusal = problem_of(ask(make_token(user), "get", f"{TOKENS}?{query}"), 400)
    assert [(error["location"], error["code"]) for error in refusal["errors"]] == [(location, code)]


@pytest.mark.parametrize(
    ("body", "location", "code"),
    [
        ({}, "scopes", "required"),
        ({"scopes": []}, "scopes", "empty"),
        ({"scopes": ["all"]}, "scopes.0", "invalid_choice"),
        ({"scopes": "predict"}, "scopes", "not_a_list"),
        ({"scopes": ["predict"] * 5}, "scopes", "max_length"),
        ({"scopes": ["predict"], "days": 0}, "days", "min_value"),
        ({"scopes": ["predict"], "days": 3651}, "days", "max_value"),
        ({"scopes": ["predict"], "days": "x"}, "days", "invalid"),
        ({"scopes": ["predict"], "name": "x" * 101}, "name", "max_length"),
        ({"scopes": ["predict"], "name": "\0"}, "name", "null_characters_not_allowed"),
        ({"scopes": ["predict"], "user": 1}, "user", "unknown"),
        ({"scopes": ["predict"], "expiry": None}, "expiry", "unknown"),
        ([], "body", "invalid"),
    ],
)
def test_a_wrong_value_is_named(user: User, body: object, location: str, code: str) -> None:
    refusal = problem_of(ask(make_token(user), "post", body=body), 400)
    assert [(error["location"], error["code"]) for error in refusal["errors"]] == [(location, code)]
    assert ApiToken.objects.count() == 1


def test_a_token_makes_none_that_may_do_more(user: User) -> None:
    body = problem_of(make(make_token(user, scopes="predict account"), scopes=["predict", "operate"]), 403)
    assert body["errors"] == [
        {
            "location": "header:Authorization",
            "code": "scope_missing",
            "detail": "This token lacks the scope “operate”, so it can neither give it nor take it away.",
        }
    ]
    assert ApiToken.objects.count() == 1


def test_a_token_makes_none_that_outlives_it(user: User) -> None:
    mother = make_token(user, lifetime=timedelta(hours=2))
    expires = parse_datetime(make(mother, scopes=["predict"], days=30).json()["expires"])
    assert expires is not None
    assert abs(expires - timezone.now() - timedelta(hours=2)) < timedelta(minutes=1)


def test_what_a_token_made_goes_with_it(user: User) -> None:
    mother = make_token(user)
    child = make(mother, scopes=["predict", "account"]).json()["token"]
    grandchild = make(child, scopes=["predict"]).json()["token"]
    assert ask(mother, "delete", f"{TOKENS}/{mother[:15]}").status_code == 204
    assert [ask(token, "get").status_code for token in (mother, child, grandchild)] == [401, 401, 401]


def test_a_session_makes_what_it_wants(user: User) -> None:
    client = Client()
    client.force_login(user)
    prove(client, user)
    body = {"scopes": ["operate"], "days": 3650}
    assert client.post(TOKENS, body, content_type="application/json").status_code == 201
    row = ApiToken.objects.get()
    assert (row.scopes, row.made_with) == ("operate", None)
    assert timedelta(days=3649) < row.expiry - timezone.now() <= timedelta(days=3650)


def test_a_session_whose_owner_typed_their_password_long_ago_makes_none(user: User) -> None:
    client = Client()
    client.force_login(user)
    prove(client, user, ago_seconds=601)
    refusal = problem_of(client.post(TOKENS, {"scopes": ["predict"]}, content_type="application/json"), 403)
    assert refusal["errors"] == [
        {
            "location": "cookie:sessionid",
            "code": "proof_missing",
            "detail": "It is a while since you typed your password: do it again at "
            "http://testserver/accounts/reauthenticate/, or use an API token.",
        }
    ]
    assert not ApiToken.objects.exists()


def test_a_session_without_its_csrf_token_makes_none(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    problem_of(client.post(TOKENS, {"scopes": ["predict"]}, content_type="application/json"), 403)
    assert not ApiToken.objects.exists()


def test_a_revoked_token_is_refused(user: User) -> None:
    mother, other = make_token(user), make_token(user)
    response = ask(mother, "delete", f"{TOKENS}/{other[:15]}")
    assert (response.status_code, response.content) == (204, b"")
    problem_of(ask(other, "get"), 401)
    problem_of(ask(mother, "delete", f"{TOKENS}/{other[:15]}"), 404)


def test_an_expired_token_is_shown_as_such_and_can_be_removed(user: User) -> None:
    mother, old = make_token(user), make_token(user, lifetime=timedelta(seconds=-1))
    assert ask(mother, "get", f"{TOKENS}/{old[:15]}").json()["expired"] is True
    assert ask(mother, "delete", f"{TOKENS}/{old[:15]}").status_code == 204


def test_a_token_revokes_none_that_may_do_more(user: User) -> None:
    narrow, wide = make_token(user, scopes="account"), make_token(user)
    problem_of(ask(narrow, "delete", f"{TOKENS}/{wide[:15]}"), 403)
    assert ApiToken.objects.count() == 2
    assert ask(narrow, "delete", f"{TOKENS}/{narrow[:15]}").status_code == 204


@pytest.mark.parametrize("method", ["get", "delete"])
def test_another_person_s_token_is_not_there(user: User, method: str) -> None:
    theirs = make_token(make_user("grace"))
    problem_of(ask(make_token(user), method, f"{TOKENS}/{theirs[:15]}"), 404)
    assert ApiToken.objects.count() == 2


@pytest.mark.parametrize("key", ["%00", "a%00b", "%ff", "..", "a b"])
def test_a_key_that_is_none_is_not_there(user: User, key: str) -> None:
    problem_of(ask(make_token(user), "get", f"{TOKENS}/{key}"), 404)


def test_there_is_room_for_a_hundred(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_TOKENS", 2)
    mother = make_token(user)
    make_token(make_user("grace"))
    assert make(mother, scopes=["predict"]).status_code == 201
    body = problem_of(make(mother, scopes=["predict"]), 409)
    assert body["detail"] == "There are 2 tokens already: remove one first."


def test_the_last_use_is_noted_at_most_once_a_minute(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token = make_token(user, is_new=True)
    ask(token, "get")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    assert abs(timezone.now() - first) < timedelta(minutes=1)
    with django_assert_num_queries(2):  # the token's owner, and the list
        ask(token, "get")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(seconds=61))
    ask(token, "get")
    assert ApiToken.objects.get().last_used_at >= first


def test_a_refused_token_is_not_used(user: User) -> None:
    token = make_token(user, lifetime=timedelta(seconds=-1), is_new=True)
    ask(token, "get")
    assert ApiToken.objects.get().last_used_at is None

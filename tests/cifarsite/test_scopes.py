"""Scopes: each route of the API is public or states one, and a token opens no more than its scopes and its owner."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response as ApiResponse
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from cifarsite.accounts.models import ApiToken, User
from classifier.models import Prediction
from tests.api_fixtures import Program, make_token, make_user, problem_of
from tests.api_routes import Route, api_routes
from tests.factories import UserFactory
from training.api.scopes import ANY_TOKEN, stated_scope
from training.choices import Scope
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def guarded() -> list[Route]:
    return [route for route in api_routes() if not route.is_public]


@pytest.mark.parametrize("route", api_routes(), ids=str)
def test_every_route_is_public_or_states_a_scope(route: Route) -> None:
    stated = stated_scope(route.view, route.verb.upper())
    if route.is_public:
        assert stated is None
    else:
        assert stated in {*Scope.values, ANY_TOKEN}


def ask(route: Route, scopes: str) -> tuple[int, dict[str, str]]:
    """Ask as an administrator, who lacks no permission, for rows that are not there."""
    owner = UserFactory.create(is_superuser=True)
    path = "/" + re.sub(r"<\w+:\w+>", "nothing", re.sub(r"<int:\w+>", "123456", route.template))
    response = Client(raise_request_exception=False).generic(
        route.verb.upper(), path, headers={"authorization": f"Token {make_token(owner, scopes=scopes)}"}
    )
    body = {} if response.streaming or not response.content else response.json()
    return response.status_code, (body.get("errors") or [{}])[0] if isinstance(body, dict) else {}


def scoped() -> list[Route]:
    return [route for route in guarded() if stated_scope(route.view, route.verb.upper()) != ANY_TOKEN]


@pytest.mark.parametrize("route", scoped(), ids=str)
def test_a_token_without_the_scope_is_refused(route: Route) -> None:
    needed = stated_scope(route.view, route.verb.upper())
    others = " ".join(scope for scope in Scope.values if scope != needed)
    assert ask(route, others) == (
        403,
        {
            "location": "header:Authorization",
            "code": "scope_missing",
            "detail": f"This token lacks the scope “{needed}”. Make one that has it, under “API tokens”.",
        },
    )


@pytest.mark.parametrize("route", guarded(), ids=str)
def test_a_token_with_the_scope_alone_gets_further(route: Route) -> None:
    _status, error = ask(route, stated_scope(route.view, route.verb.upper()) or "predict")
    assert error.get("code") != "scope_missing"


def test_a_scope_gives_no_permission(user: User) -> None:
    program = Program(Client(), make_token(user, scopes="train"))
    body = problem_of(program.get("/api/v1/runs"), 403)
    assert body["errors"][0]["code"] == "permission_denied"


def test_a_session_needs_no_scope(champion: ModelVersion) -> None:
    client = Client()
    client.force_login(UserFactory.create(groups=["operator"]))
    assert client.get("/api/v1/workers").status_code == 200
    assert client.get("/api/v1/runs").status_code == 200


def test_a_verb_that_the_view_does_not_know_is_refused_as_such(user: User) -> None:
    program = Program(Client(), make_token(user, scopes="operate"))
    problem_of(program.client.put("/api/v1/predict", headers={"authorization": f"Token {program.token}"}), 405)


class Forgetful(APIView):
    """A view that states no scope."""

    def get(self, request: Request) -> ApiResponse:
        return ApiResponse({})


class ByMethod(Forgetful):
    scope = {"GET": Scope.PREDICT, "POST": Scope.OPERATE}

    def post(self, request: Request) -> ApiResponse:
        return ApiResponse({})


def status_of(view: type[APIView], token: str, method: str = "get") -> int:
    request = getattr(APIRequestFactory(), method)("/", headers={"authorization": f"Token {token}"})
    return int(view.as_view()(request).status_code)


def test_a_view_that_states_none_takes_no_token(user: User) -> None:
    assert AllowAny not in Forgetful.permission_classes
    assert status_of(Forgetful, make_token(user)) == 403


@pytest.mark.parametrize(
    ("scopes", "method", "status"),
    [
        ("predict", "get", 200),
        ("predict", "head", 200),
        ("predict", "post", 403),
        ("operate", "post", 200),
        ("operate", "get", 403),
        ("operate", "options", 200),
        ("predict", "delete", 405),
    ],
)
def test_a_view_may_state_one_for_each_method(user: User, scopes: str, method: str, status: int) -> None:
    assert status_of(ByMethod, make_token(user, scopes=scopes), method) == status


def test_a_refusal_leaves_no_row(champion: ModelVersion) -> None:
    program = Program(Client(), make_token(make_user("grace"), scopes="train operate"))
    problem_of(program.predict(), 403)
    assert not Prediction.objects.exists()


def test_a_token_has_the_account_only_by_name(user: User) -> None:
    row, _token = ApiToken.objects.create(user=user)
    assert row.scope_list == [Scope.PREDICT, Scope.TRAIN, Scope.OPERATE]


ACCOUNT_MATTERS = [
    ("patch", "/api/v1/account", 200),
    ("get", "/api/v1/account/data", 200),
    ("get", "/api/v1/account/webhook", 404),
    ("put", "/api/v1/account/webhook", 400),
    ("delete", "/api/v1/account/webhook", 404),
    ("get", "/api/v1/notifications", 200),
    ("post", "/api/v1/notifications/read", 200),
    ("post", "/api/v1/notifications/1/read", 404),
    ("get", "/api/v1/tokens", 200),
    ("post", "/api/v1/tokens", 400),
    ("get", "/api/v1/tokens/none", 404),
    ("delete", "/api/v1/tokens/none", 404),
]


@pytest.mark.parametrize("scope", Scope.values)
@pytest.mark.parametrize(("verb", "path", "status"), ACCOUNT_MATTERS)
def test_what_concerns_the_account_takes_the_scope_of_that_name(
    user: User, verb: str, path: str, status: int, scope: str
) -> None:
    token = make_token(user, scopes=scope)
    headers = {"authorization": f"Token {token}"}
    body = None if path.endswith("/read") else "{}"
    response = Client().generic(verb.upper(), path, body or "", "application/json", headers=headers)
    assert response.status_code == (status if scope == "account" else 403)


@pytest.mark.parametrize("scope", Scope.values)
def test_any_token_may_ask_whose_it_is(user: User, scope: str) -> None:
    program = Program(Client(), make_token(user, scopes=scope))
    assert program.get("/api/v1/account").json()["username"] == "ada"

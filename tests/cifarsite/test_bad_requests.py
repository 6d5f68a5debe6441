"""Bad input on every route of the API that it can be sent to: exact status, place, code and sentence.

`test_problems.py` has pictures, file names and the handler itself. Routes that are added later are found here.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.parsers import JSONParser

from cifarsite.accounts.models import ApiToken, User
from classifier.models import Prediction
from tests.api_fixtures import Program, make_token, problem_of
from tests.api_routes import VERBS, Route, api_routes
from tests.cifarsite.test_problems import BOUNDARY, FORM, form
from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, UserFactory
from tests.tiny_model import picture
from training.choices import JobStatus
from training.models import IdempotencyKey, ModelVersion, TrainingRun

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

Error = tuple[str, str, str]
FIELDS = {"predict": "file", "batch_predict": "files"}


def error_of(response: Response, status: int) -> Error:
    [error] = problem_of(response, status)["errors"]
    return error["location"], error["code"], error["detail"]


def address_of(route: Route, **values: object) -> str:
    """Return the route's address; what it names need not be there."""
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values.get(found[1], 123456)), route.template)


BODILESS = {"api/v1/notifications/read"}
"""Addresses without a parameter whose POST takes no body."""


def guarded(*verbs: str) -> list[Route]:
    return [route for route in api_routes() if not route.is_public and route.verb in (verbs or VERBS)]


def taking_json() -> list[Route]:
    """Routes whose body is JSON that is looked at before anything else is."""
    routes = [route for route in guarded("post", "put", "patch") if route.template not in BODILESS]
    parameters = [route for route in routes if "<" not in route.template]
    return [route for route in parameters if issubclass(route.view.parser_classes[0], JSONParser)]


@pytest.fixture
def root(champion: ModelVersion) -> Program:
    """A program of somebody who may do everything."""
    owner = UserFactory.create(is_superuser=True)
    return Program(Client(raise_request_exception=False), make_token(owner))


def send(program: Program, verb: str, path: str, body: bytes, content_type: str = "application/json") -> Response:
    headers = {"authorization": f"Token {program.token}"}
    return program.client.generic(verb.upper(), path, body, content_type=content_type, headers=headers)


# --- Transport --------------------------------------------------------------------------------------------------------

_NO_FORM = (
    "The form cannot be read: send multipart/form-data whose Content-Type names the boundary, as programs that send "
    "forms do by themselves."
)
_CUT = "The form ends before its closing boundary: it did not arrive whole."
_PARTS = "The form has too many fields or files."


def _many(count: int, *, name: str) -> bytes:
    cut = -len(BOUNDARY) - 8
    return b"".join(form(b"1", field=f"f{i}", name=name)[:cut] + b"\r\n" for i in range(count)) + form(picture())


FORMS = {
    "no body": (b"", FORM, "required", None),
    "no body, no type": (b"", "", "required", None),
    "empty": (f"--{BOUNDARY}--\r\n".encode(), FORM, "required", None),
    "wrong field": (form(picture(), field="image"), FORM, "required", None),
    "no boundary": (form(picture()), "multipart/form-data", "malformed", _NO_FORM),
    "empty boundary": (form(picture()), "multipart/form-data; boundary=", "malformed", _NO_FORM),
    "other boundary": (form(picture()), "multipart/form-data; boundary=other", "malformed", _CUT),
    "never closed": (form(picture(), closed=False), FORM, "malformed", _CUT),
    "cut": (form(picture())[:-40], FORM, "malformed", _CUT),
    "noise": (b"\x00\xff" * 100, FORM, "malformed", _CUT),
    "bad base64": (form(b"abc", extra="Content-Transfer-Encoding: base64\r\n"), FORM, "malformed", _NO_FORM),
    "1003 fields": (_many(1003, name="x=1"), FORM, "too_many_parts", _PARTS),
    "101 files": (_many(101, name='filename="a.png"'), FORM, "too_many_parts", _PARTS),
}


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("case", FORMS)
def test_a_form_that_cannot_be_read(root: Program, path: str, case: str) -> None:
    body, content_type, code, sentence = FORMS[case]
    body = body.replace(b'name="file"', f'name="{FIELDS[path]}"'.encode())
    missing = {
        "predict": "Give a picture, with its name, in the field “file”.",
        "batch_predict": "Give pictures, with their names, in the field “files”.",
    }
    location = FIELDS[path] if code == "required" else "body"
    response = send(root, "post", f"/api/v1/{path}", body, content_type)
    assert error_of(response, 400) == (location, code, sentence or missing[path])
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("route", guarded("post", "put", "patch"), ids=str)
@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "nonsense"])
def test_another_media_type(root: Program, route: Route, content_type: str) -> None:
    """Routes that take no body, or look at the address first, mind nothing about the type of one."""
    response = send(root, route.verb, address_of(route), b"x", content_type)
    if route.template in BODILESS:
        assert response.status_code == 200
        return
    if "<" in route.template:
        assert response.status_code in {404, 415}
        return
    assert error_of(response, 415) == (
        "header:Content-Type",
        "unsupported_media_type",
        f'Unsupported media type "{content_type}" in request.',
    )


@pytest.mark.parametrize("path", ["predict", "batch_predict", "predict_base64"])
def test_more_bytes_than_are_taken(root: Program, settings: Settings, path: str) -> None:
    settings.IMAGE_MAX_BYTES = settings.BATCH_MAX_BYTES = 1000
    settings.BATCH_MAX_IMAGES = 1
    content_type = "application/json" if path == "predict_base64" else FORM
    body = b'{"image": "' + b"A" * 80_000 + b'"}' if path == "predict_base64" else form(b"x" * 80_000)
    expected = ("body", "too_large", "The request is larger than is accepted here.")
    assert error_of(send(root, "post", f"/api/v1/{path}", body, content_type), 413) == expected
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("route", [route for route in api_routes() if route.verb == "get"], ids=str)
def test_an_answer_in_a_form_that_is_not_given(root: Program, route: Route) -> None:
    if route.name == "schema":
        return  # YAML and JSON, and whoever asks for neither gets the first
    response = root.get(address_of(route), {"accept": "application/msword"})
    assert error_of(response, 406) == (
        "header:Accept",
        "not_acceptable",
        "Could not satisfy the request Accept header.",
    )


@pytest.mark.parametrize("template", sorted({route.template for route in api_routes()}))
def test_a_verb_that_is_not_known(root: Program, template: str) -> None:
    routes = [route for route in api_routes() if route.template == template]
    for verb in sorted(set(VERBS) - {route.verb for route in routes}):
        response = send(root, verb, address_of(routes[0]), b"")
        sentence = f'Method "{verb.upper()}" not allowed.'
        assert error_of(response, 405) == ("method", "method_not_allowed", sentence)
        assert {name for name in response.headers["Allow"].split(", ") if name not in {"HEAD", "OPTIONS"}} == {
            route.verb.upper() for route in routes
        }


def test_a_host_that_is_not_ours(stranger: Program) -> None:
    response = stranger.get("/api/v1/health", {"host": "evil.example"})
    assert error_of(response, 400) == ("request", "bad_request", "The request cannot be understood.")


# --- JSON -------------------------------------------------------------------------------------------------------------

_NUMBERS = "The body is not JSON that can be read: it has to be in UTF-8, without NaN, Infinity or endless numbers."
_DEEP = "The request is nested too deeply."
JSON = {
    "nothing closed": (b"{", "parse_error", "The body is not JSON that can be read: look at line 1, column 2."),
    "two": (b"{}\n{}", "parse_error", "The body is not JSON that can be read: look at line 2, column 1."),
    "byte order mark": (
        b"\xef\xbb\xbf{}",
        "parse_error",
        "The body is not JSON that can be read: look at line 1, column 1.",
    ),
    "NaN": (b'{"x": NaN}', "parse_error", _NUMBERS),
    "Infinity": (b'{"x": -Infinity}', "parse_error", _NUMBERS),
    "5000 digits": (b'{"x": ' + b"9" * 5000 + b"}", "parse_error", _NUMBERS),
    "invalid UTF-8": (b'{"x": "\xff"}', "parse_error", _NUMBERS),
    "lists in lists": (b"[" * 100_000, "too_deep", _DEEP),
    "objects in objects": (b'{"a":' * 100_000, "too_deep", _DEEP),
    "a list": (b"[]", "invalid", "Invalid data. Expected a dictionary, but got list."),
    "a text": (b'"a"', "invalid", "Invalid data. Expected a dictionary, but got str."),
    "null": (b"null", "null", "No data provided"),
}


@pytest.mark.parametrize("route", taking_json(), ids=str)
@pytest.mark.parametrize("case", JSON)
def test_json_that_cannot_be_used(root: Program, route: Route, case: str) -> None:
    body, code, sentence = JSON[case]
    assert error_of(send(root, route.verb, address_of(route), body), 400) == ("body", code, sentence)
    assert_nothing_happened()


@pytest.mark.parametrize("route", taking_json(), ids=str)
@pytest.mark.parametrize("key", [b"surprise", b"owner", b"user", b"status", b"\\u0000", b"\\ud800", b"__proto__"])
def test_keys_that_are_not_known(root: Program, route: Route, key: bytes) -> None:
    response = send(root, route.verb, address_of(route), b'{"' + key + b'": 1}')
    [error] = problem_of(response, 400)["errors"]
    assert error["location"] == key.decode().encode().decode("unicode_escape")
    assert error["code"] in {"unknown", "unknown_key"}
    assert_nothing_happened()


@pytest.mark.parametrize("route", taking_json(), ids=str)
def test_bad_json_does_not_burn_a_key(root: Program, route: Route) -> None:
    headers = {"authorization": f"Token {root.token}", "idempotency-key": "k"}
    response = root.client.generic(
        route.verb.upper(), address_of(route), b"{", content_type="application/json", headers=headers
    )
    problem_of(response, 400)
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"epochs": NaN}',
        b'{"epochs": -1}',
        b'{"epochs": 1e9}',
        b'{"epochs": 1e999}',
        b'{"epochs": "\\ud800"}',
        b'{"epochs": "\\u0000"}',
        b'{"epochs": null}',
        b'{"epochs": 1, "owner": 1}',
    ],
)
def test_json_about_something_that_is_there(root: Program, body: bytes) -> None:
    run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, checkpoint="runs/1/1/c", checkpoint_step=20)
    for epoch in (1, 2):
        EpochMetricFactory.create(run=run, epoch=epoch)
    problem_of(send(root, "post", f"/api/v1/runs/{run.pk}/extend", body), 400)
    assert TrainingRun.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataset": "\\u0000"}',
        b'{"dataset": "shapes\\ud800"}',
        b'{"dataset": "shapes", "settings": {"\\u0000": 1}}',
        b'{"dataset": "shapes", "settings": {"epochs": -1}}',
        b'{"dataset": "shapes", "settings": {"batch_size": 1e9}}',
    ],
)
def test_values_that_no_run_can_have(root: Program, body: bytes) -> None:
    DatasetFactory.create(name="shapes")
    problem_of(send(root, "post", "/api/v1/runs", body), 400)
    assert_nothing_happened()


def assert_nothing_happened() -> None:
    assert not Prediction.objects.exists()
    assert not TrainingRun.objects.exists()
    assert ApiToken.objects.count() == 1


# --- Identity ---------------------------------------------------------------------------------------------------------

_UNKNOWN = "This token is not known, was revoked or has expired."
_ABSENT = "Authentication credentials were not provided."


@pytest.mark.parametrize("route", guarded(), ids=str)
def test_nobody_is_let_in(stranger: Program, champion: ModelVersion, route: Route) -> None:
    response = send(stranger, route.verb, address_of(route), b"{}")
    assert response.status_code == 401
    response = stranger.client.generic(route.verb.upper(), address_of(route), b"{}", content_type="application/json")
    assert error_of(response, 401) == ("header:Authorization", "not_authenticated", _ABSENT)
    assert response.headers["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("expired", _UNKNOWN),
        ("revoked", _UNKNOWN),
        ("unknown", _UNKNOWN),
        ("of a closed account", "This account is closed."),
        ("without itself", "Invalid token header. No credentials provided."),
        ("in two", "Invalid token header. Token string should not contain spaces."),
        ("of another scheme", _ABSENT),
    ],
)
def test_a_token_that_is_none(stranger: Program, user: User, champion: ModelVersion, kind: str, sentence: str) -> None:
    code = "not_authenticated" if sentence == _ABSENT else "authentication_failed"
    token = make_token(user, lifetime=timedelta(seconds=-1 if kind == "expired" else 60))
    if kind == "revoked":
        ApiToken.objects.all().delete()
    if kind == "of a closed account":
        User.objects.update(is_active=False)
    sent = {
        "unknown": "Token " + "f" * 64,
        "without itself": "Token",
        "in two": "Token a b",
        "of another scheme": f"Bearer {token}",
    }.get(kind, f"Token {token}")
    response = stranger.predict(headers={"authorization": sent})
    assert error_of(response, 401) == ("header:Authorization", code, sentence)
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("route", guarded("post", "put", "patch", "delete"), ids=str)
def test_a_session_without_its_csrf_token(champion: ModelVersion, route: Route) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(UserFactory.create(is_superuser=True))
    content_type = "application/json" if route.view.parser_classes[0] is JSONParser else FORM
    response = client.generic(route.verb.upper(), address_of(route), b"", content_type=content_type)
    assert error_of(response, 403) == (
        "header:X-CSRFToken",
        "csrf_failed",
        "The session’s CSRF token is missing or wrong: send what is in the cookie “csrftoken” as the header "
        "“X-CSRFToken”, or use an API token.",
    )


def test_an_account_without_the_permission(champion: ModelVersion) -> None:
    program = Program(Client(), make_token(UserFactory.create(groups=["trainer"])))
    for path in ("queues/training/pause", "queues/training/unpause"):
        response = send(program, "post", f"/api/v1/{path}", b"")
        assert error_of(response, 403)[:2] == ("account", "permission_denied")


@pytest.mark.parametrize("cursor", ["x", "cD14", "cD0yMDI2LTEzLTQ1", "cD0lMDA=", "cj0xJnA9MQ=="])
def test_a_cursor_that_is_none(root: Program, cursor: str) -> None:
    response = root.get(f"/api/v1/tokens?cursor={cursor}")
    assert error_of(response, 404) == ("path", "not_found", "Invalid cursor")


# --- Language ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", guarded(), ids=str)
def test_every_refusal_is_in_the_language_of_the_request(stranger: Program, route: Route) -> None:
    stranger.client.cookies["django_language"] = "en"
    for accepted, sentence in (("fr-CA, en;q=0.5", "Informations d'authentification non fournies."), ("de", _ABSENT)):
        response = stranger.client.generic(
            route.verb.upper(), address_of(route), b"", headers={"accept-language": accepted}
        )
        assert error_of(response, 401)[2] == sentence
        assert response.headers["Content-Language"] == ("fr" if "fr" in accepted else "en")
        assert "Accept-Language" in response.headers["Vary"]


@pytest.mark.parametrize("language", ["fr", ""])
def test_neither_a_cookie_nor_the_site_chooses(stranger: Program, settings: Settings, language: str) -> None:
    settings.LANGUAGE_CODE = "fr"
    stranger.client.cookies["django_language"] = "fr"
    expected = {"fr": "Il n’y a rien à cette adresse.", "": "There is nothing at this address."}
    response = stranger.get("/api/v1/nothing", {"accept-language": language})
    assert error_of(response, 404)[2] == expected[language]


def test_what_a_view_refuses_is_in_the_language_too(root: Program) -> None:
    for accepted, sentence in (("fr", "Ce champ est obligatoire."), ("", "This field is required.")):
        headers = {"authorization": f"Token {root.token}", "accept-language": accepted}
        response = root.client.post("/api/v1/runs", {}, content_type="application/json", headers=headers)
        assert error_of(response, 400) == ("dataset", "required", sentence)


def test_a_body_is_what_rfc_9457_says(stranger: Program) -> None:
    body: dict[str, Any] = problem_of(stranger.get("/api/v1/runs"), 401)
    assert body == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": _ABSENT,
        "instance": "/api/v1/runs",
        "errors": [{"location": "header:Authorization", "code": "not_authenticated", "detail": _ABSENT}],
    }

"""Bad input, first cut: each case has its stated status, one shape of answer, and leaves no row and no file behind."""

from __future__ import annotations

import base64
import io
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.test import Client, RequestFactory
from django.urls import path
from PIL import Image
from pytest_django import Settings
from rest_framework.exceptions import ErrorDetail, Throttled, ValidationError

from cifarsite import problems
from cifarsite.accounts.models import User
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady
from classifier.models import Prediction
from tests.api_fixtures import Program, problem_of
from tests.tiny_model import picture
from training.models import ModelVersion

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

BOUNDARY = "XboundaryX"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PREDICT = "/api/v1/predict"


def form(
    data: bytes, *, name: str = 'filename="a.png"', field: str = "file", closed: bool = True, extra: str = ""
) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; {name}\r\n{extra}\r\n'.encode()
    return head + data + (f"\r\n--{BOUNDARY}--\r\n" if closed else "\r\n").encode()


def send(program: Program, body: bytes, content_type: str = FORM, **extra: Any) -> Response:
    headers = {"authorization": f"Token {program.token}"}
    return program.client.generic("POST", PREDICT, body, content_type=content_type, headers=headers, **extra)


@pytest.fixture(autouse=True)
def _nothing_left_behind(champion: ModelVersion) -> Iterator[None]:
    """Whatever is refused leaves no row and no file."""
    root = Path(settings.ARTIFACTS_ROOT)
    before = sorted(root.rglob("*"))
    yield
    assert not Prediction.objects.exists()
    assert sorted(root.rglob("*")) == before


# --- Transport --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"", ""),
        (f"--{BOUNDARY}--\r\n".encode(), FORM),
        (form(picture(), field="image"), FORM),
        (form(picture()), "multipart/form-data"),
        (form(picture()), "multipart/form-data; boundary="),
        (form(picture()), "multipart/form-data; boundary=other"),
        (form(picture(), closed=False), FORM),
        (form(picture())[:-40], FORM),
        (form(picture())[:60], FORM),
        (b"\x00\xff" * 100, FORM),
        (b"".join(form(b"1", field=f"f{i}", name="x=1")[:-18] + b"\r\n" for i in range(1003)) + form(picture()), FORM),
        (b"".join(form(b"1", field=f"f{i}")[:-18] + b"\r\n" for i in range(101)) + form(picture()), FORM),
        (form(b"abc", extra="Content-Transfer-Encoding: base64\r\n"), FORM),
    ],
    ids=[
        "no body",
        "no body, no type",
        "empty form",
        "wrong field",
        "no boundary",
        "empty boundary",
        "other boundary",
        "never closed",
        "cut in the closing boundary",
        "cut in the header",
        "noise",
        "1003 fields",
        "101 files",
        "bad base64",
    ],
)
def test_a_form_that_cannot_be_read(program: Program, body: bytes, content_type: str) -> None:
    problem_of(send(program, body, content_type), 400)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "image/png", "text/plain", "nonsense"]
)
def test_another_media_type(program: Program, content_type: str) -> None:
    body = problem_of(send(program, picture(), content_type), 415)
    assert body["errors"][0]["location"] == "header:Content-Type"


@pytest.fixture
def small_limit(settings: Settings) -> int:
    settings.IMAGE_MAX_BYTES = 1000
    return 1000


def test_too_many_bytes_declared_are_not_read(program: Program, small_limit: int) -> None:
    body = form(b"x" * 70_000)
    unread = io.BytesIO(body)
    response = send(program, b"", FORM, CONTENT_LENGTH=str(len(body)), **{"wsgi.input": unread})
    problem_of(response, 413)
    assert unread.tell() == 0


def test_a_file_that_is_too_large_within_the_form(program: Program, small_limit: int) -> None:
    problem_of(send(program, form(b"x" * 1001)), 413)


def test_a_file_of_the_largest_size_is_read(program: Program, small_limit: int) -> None:
    problem_of(send(program, form(b"x" * 1000)), 415)


def test_huge_base64(program: Program, small_limit: int) -> None:
    data = base64.b64encode(b"x" * 3000)
    problem_of(send(program, form(data, extra="Content-Transfer-Encoding: base64\r\n")), 413)


def test_a_chunked_body_beyond_the_limit(program: Program, small_limit: int) -> None:
    endless = io.BytesIO(form(b"x" * 1_000_000))
    environment = {"CONTENT_LENGTH": "", "CONTENT_TYPE": FORM, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = send(program, b"", FORM, **environment, **{"wsgi.input": endless})
    problem_of(response, 413)
    assert endless.tell() < 200_000


def test_a_large_text_field(program: Program) -> None:
    problem_of(send(program, form(b"x" * 3_000_000, name="x=1")), 413)


def test_a_session_is_bounded_as_well(user: User, small_limit: int) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.cookies["csrftoken"] = "a" * 32
    headers = {"x-csrftoken": "a" * 32}
    for body, status in [(form(b"x" * 1001), 413), (form(b"x", closed=False), 400), (form(b"x"), 415)]:
        response = client.generic("POST", PREDICT, body, content_type=FORM, headers=headers)
        problem_of(response, status)


def test_a_bad_host(stranger: Program) -> None:
    problem_of(stranger.get("/api/v1/health", {"host": "evil.example"}), 400)
    problem_of(stranger.post(PREDICT, {"file": SimpleUploadedFile("a.png", picture())}, {"host": "evil.example"}), 400)


# --- File names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        'filename="a\0b.png"',
        'filename=""',
        "filename=",
        f'filename="{"x" * 5000}"',
        'filename="   "',
        "x=1",
        'filename=".."',
    ]
    + [f"filename*=UTF-8''{name}" for name in ("%00", "")],
)
def test_a_name_that_is_none(program: Program, name: str) -> None:
    problem_of(send(program, form(picture(), name=name)), 400)


# --- What is in the file ----------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def encoded(image_format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(stream, image_format)
    return stream.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
XXE = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"just text", 415),
        (SVG, 415),
        (XXE, 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", 415),
        (b"%PDF-1.7\n", 415),
        (b"8BPS\0\1" + b"\0" * 100, 415),
        (b"SIMPLE  =                    T", 415),
        (encoded("TIFF"), 415),
        (b"", 422),
        (picture(size=(64, 64))[:-20], 422),
        (picture(size=(64, 64), image_format="JPEG")[:300], 422),
        (picture()[:-16] + b"\0\0\0\0" + picture()[-12:], 422),
        (bomb(30_000, 30_000), 413),
        (bomb(1, 200_000), 413),
    ],
    ids=["text", "svg", "xxe", "eps", "pdf", "psd", "fits", "tiff", "zero", "png", "jpeg", "crc", "bomb", "line"],
)
def test_a_file_that_is_no_picture(program: Program, data: bytes, status: int) -> None:
    body = problem_of(program.predict(data, name="picture.png"), status)
    assert body["errors"][0]["location"] == "file"
    assert body["instance"] == PREDICT


def test_a_refusal_speaks_the_language_asked_for(program: Program) -> None:
    response = program.predict(b"just text", query="?lang=fr")
    assert response.headers["Content-Language"] == "fr"
    problem_of(response, 415)


def test_without_a_model(program: Program) -> None:
    ModelVersion.objects.all().delete()
    response = program.predict()
    problem_of(response, 503)
    assert int(response.headers["Retry-After"]) > 0


# --- The whole site under /api/ ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/api/", "/api/v1/nothing", "/api/v2/predict", "/api/v1/health/", "/api/v1/%00"])
def test_an_unknown_address(stranger: Program, address: str) -> None:
    body = problem_of(stranger.get(address), 404)
    assert body["errors"][0]["code"] == "not_found"


@pytest.mark.parametrize("address", ["", "health", "ready", "classes", "model/info", "schema"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_wrong_method(stranger: Program, address: str, method: str) -> None:
    response = getattr(stranger.client, method)(f"/api/v1/{address}")
    problem_of(response, 405)
    assert "GET" in response.headers["Allow"]


def test_predict_takes_post_only(program: Program) -> None:
    problem_of(program.get(PREDICT), 405)


@pytest.mark.parametrize("address", ["health", "classes", "model/info", ""])
def test_a_form_of_answer_that_is_not_given(stranger: Program, address: str) -> None:
    problem_of(stranger.get(f"/api/v1/{address}", {"accept": "text/html"}), 406)


def test_a_page_stays_a_page(stranger: Program) -> None:
    response = stranger.get("/nothing-here")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_view_that_breaks_tells_nothing(
    stranger: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from classifier.api import model_views

    def broken() -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(model_views, "predictor", broken)
    with caplog.at_level(logging.ERROR):
        body = problem_of(stranger.get("/api/v1/classes"), 500)
    assert "secret" not in str(body)
    assert "/secret/path" in caplog.text


def test_a_database_that_is_away(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object, **_options: object) -> None:
        raise OperationalError("host db.internal")

    monkeypatch.setattr("classifier.services.record", away)
    response = program.predict()
    body = problem_of(response, 503)
    assert "Retry-After" in response.headers
    assert "db.internal" not in str(body)


# --- The handler itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ImageRejected("broken", 422, "The picture is damaged."), 422),
        (ModelNotReady("no champion in /secret"), 503),
        (RequestDataTooBig(), 413),
        (TooManyFilesSent(), 400),
        (TooManyFieldsSent(), 400),
        (MultiPartParserError("no boundary"), 400),
        (RecursionError(), 400),
        (OperationalError("server closed the connection"), 503),
        (InterfaceError("connection already closed"), 503),
        (Http404("No Prediction matches"), 404),
        (PermissionDenied(), 403),
        (SuspiciousOperation("evil"), 400),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_exception_has_its_status(rf: RequestFactory, error: Exception, status: int) -> None:
    response = problems.exception_handler(error, {"request": rf.get("/api/v1/x")})
    assert response is not None
    assert response.status_code == status
    assert ("Retry-After" in response.headers) is (status == 503)
    assert b"secret" not in response.content


def test_what_nobody_expected_is_left_to_django(rf: RequestFactory) -> None:
    assert problems.exception_handler(ZeroDivisionError(), {"request": rf.get("/api/v1/x")}) is None


def faults_of(rf: RequestFactory, error: Exception) -> list[tuple[str, str, str]]:
    import json

    response = problems.exception_handler(error, {"request": rf.get("/api/v1/x")})
    assert response is not None
    errors = json.loads(response.content)["errors"]
    return [(entry["location"], entry["code"], entry["detail"]) for entry in errors]


def test_each_field_is_named(rf: RequestFactory) -> None:
    nested: Any = {
        "epochs": [ErrorDetail("Too small.", code="min_value"), ErrorDetail("Odd.", code="odd")],
        "options": {"seed": [ErrorDetail("Required.", code="required")]},
        "non_field_errors": [ErrorDetail("Together wrong.", code="invalid")],
    }
    assert faults_of(rf, ValidationError(nested)) == [
        ("epochs", "min_value", "Too small."),
        ("epochs", "odd", "Odd."),
        ("options.seed", "required", "Required."),
        ("body", "invalid", "Together wrong."),
    ]


def test_a_list_of_items_keeps_their_sentences(rf: RequestFactory) -> None:
    assert faults_of(rf, ValidationError(["One.", "Two."])) == [
        ("body", "invalid", "One."),
        ("body", "invalid", "Two."),
    ]


def test_throttling_says_when_to_come_back(rf: RequestFactory) -> None:
    response = problems.exception_handler(Throttled(wait=12.4), {"request": rf.get("/api/v1/x")})
    assert response is not None
    assert (response.status_code, response.headers["Retry-After"]) == (429, "13")


def forbidding(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [path("api/forbidden", forbidding), path("forbidden", forbidding)]
handler403 = "cifarsite.problems.permission_denied"


@pytest.mark.urls(__name__)
def test_django_level_403(stranger: Program) -> None:
    problem_of(stranger.get("/api/forbidden"), 403)

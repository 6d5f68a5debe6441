"""How requests are repeated: when, after how long, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from cifarsite_client import Client, RefusedError, UnreachableError
from cifarsite_client.transport import read_retry_after

Answer = httpx2.Response | Exception
INFO = {
    "model_name": "whitened_cnn",
    "num_classes": 10,
    "input_size": "32x32x3",
    "total_parameters": 20,
    "trainable_parameters": 10,
    "device": "cpu",
}


def problem(status: int, code: str, **headers: str) -> httpx2.Response:
    errors = [{"location": "account", "code": code, "detail": f"It is {code}."}]
    return httpx2.Response(status, json={"errors": errors}, headers=headers)


class Site:
    """Answers with what it was given, one after the other, and remembers the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options: Any) -> Client:
        return Client("http://site", token="secret", transport=httpx2.MockTransport(self), **options)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time here."""
    noted: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", noted.append)
    return noted


def test_waits_as_long_as_the_site_asks(waits: list[float]) -> None:
    site = Site(problem(503, "model_not_ready", **{"Retry-After": "7"}), httpx2.Response(200, json=INFO))

    assert site.client().model_info().model_name == "whitened_cnn"
    assert waits == [7.0]


def test_gives_up_rather_than_wait_beyond_its_patience(waits: list[float]) -> None:
    site = Site(problem(429, "throttled", **{"Retry-After": "61"}))

    with pytest.raises(RefusedError, match="It is throttled") as caught:
        site.client().model_info()
    assert (caught.value.status, caught.value.code, caught.value.retry_after_seconds) == (429, "throttled", 61.0)
    assert waits == []


def test_repeats_after_a_broken_connection(waits: list[float]) -> None:
    site = Site(httpx2.ConnectError("refused"), httpx2.ReadTimeout("late"), httpx2.Response(200, json=INFO))

    site.client().model_info()
    assert len(site.requests) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 500])
def test_does_not_repeat_what_would_be_refused_again(status: int, waits: list[float]) -> None:
    site = Site(problem(status, "wrong"))

    with pytest.raises(RefusedError):
        site.client().model_info()
    assert len(site.requests) == 1


def test_waits_for_its_own_request_that_is_still_under_way(waits: list[float]) -> None:
    busy = problem(409, "key_in_flight", **{"Retry-After": "1"})
    site = Site(httpx2.ReadTimeout("late"), busy, httpx2.Response(200, json={"predictions": []}))

    assert list(site.client().predict_many([])) == []
    assert site.requests == []
    assert list(site.client().predict_many([b"x"])) == []
    keys = {request.headers["Idempotency-Key"] for request in site.requests}
    assert len(site.requests) == 3
    assert len(keys) == 1


def test_repeats_the_same_body(waits: list[float]) -> None:
    site = Site(problem(502, "error"), httpx2.Response(200, json={"predictions": []}))

    list(site.client().predict_many([b"picture"]))
    first, second = site.requests
    assert b"picture" in first.content
    assert len(first.content) == len(second.content)


def test_another_call_has_another_key() -> None:
    site = Site(*[httpx2.Response(200, json={"predictions": []}) for _ in range(2)])
    client = site.client()

    list(client.predict_many([b"x"]))
    list(client.predict_many([b"x"]))
    assert len({request.headers["Idempotency-Key"] for request in site.requests}) == 2


def test_reading_needs_no_key() -> None:
    site = Site(httpx2.Response(200, json=INFO))

    site.client().model_info()
    assert "Idempotency-Key" not in site.requests[0].headers


def test_says_when_something_else_answers() -> None:
    site = Site(httpx2.Response(404, text="<html>"))

    with pytest.raises(UnreachableError, match="status 404, not as a cifarsite does"):
        site.client().model_info()


@pytest.mark.parametrize("url", ["http://site:port", "site:8000", "127.0.0.1", "http://", "ftp://site"])
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(UnreachableError, match="is no address"):
        Client(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lambda: "12", 12.0),
        (lambda: "", None),
        (lambda: "soon", None),
        (lambda: format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0.0),
    ],
)
def test_reads_retry_after(text: Callable[[], str], expected: float | None) -> None:
    assert read_retry_after(httpx2.Response(503, headers={"Retry-After": text()})) == expected


def test_reads_a_moment() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    waited = read_retry_after(httpx2.Response(503, headers={"Retry-After": moment}))
    assert waited is not None
    assert 28 <= waited <= 30

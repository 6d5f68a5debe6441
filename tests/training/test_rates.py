"""The counts behind the rates, in the real cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_django import Settings

from tests.api_fixtures import forget_rates
from training import rates
from training.rates import describe_rate, take_turn


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_rates()
    yield
    forget_rates()


def test_exactly_as_many_pass_as_may() -> None:
    with ThreadPoolExecutor(max_workers=64) as pool:
        waits = list(pool.map(lambda _number: take_turn("test", by=1, limit=100), range(1000)))
    assert waits.count(0.0) == 100
    assert all(50 < wait <= 60 for wait in waits if wait)


def test_people_and_rates_are_counted_apart() -> None:
    assert [take_turn(name, by=by, limit=1) for name, by in [("a", 1), ("a", 2), ("b", 1)]] == [0.0, 0.0, 0.0]
    assert take_turn("a", by=1, limit=1) > 0


def test_without_a_limit_nothing_is_counted() -> None:
    assert {take_turn("test", by=1, limit=0) for _ in range(10)} == {0.0}
    assert take_turn("test", by=1, limit=1) == 0.0


def test_after_the_wait_one_passes_and_the_window_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "WINDOW_SECONDS", 2)
    assert take_turn("test", by=1, limit=2) == 0.0
    time.sleep(1)
    assert take_turn("test", by=1, limit=2) == 0.0
    wait = take_turn("test", by=1, limit=2)
    assert 0.5 < wait < 1.0
    time.sleep(wait)
    assert take_turn("test", by=1, limit=2) == 0.0  # in place of the first
    assert take_turn("test", by=1, limit=2) > 0.5  # the second is within the window still


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(rates, "WINDOW_SECONDS", 1)
    for _ in range(10):
        take_turn("test", by=1, limit=3)
    cache = rates._client(settings.CACHES["default"]["LOCATION"])
    assert cache.llen("cifarsite:rate:test:1") == 3
    time.sleep(1.1)
    assert not cache.exists("cifarsite:rate:test:1")


def test_without_the_cache_everything_passes_and_the_log_says_so_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "unix:///nonexistent/valkey.sock"}}
    assert [take_turn("test", by=1, limit=1) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert [record.getMessage()[:57] for record in caplog.records] == [
        "The cache does not answer, so that no rate is limited for"
    ]


def test_a_cache_that_says_nothing_is_not_waited_for(settings: Settings) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": location}}
        began = time.monotonic()
        assert [take_turn("test", by=1, limit=1) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert time.monotonic() - began < 1.5


def test_the_sentence() -> None:
    assert describe_rate(1, limit=1) == "This may be asked 1 time in a minute. Try again in 1 second."
    assert describe_rate(12, limit=100) == "This may be asked 100 times in a minute. Try again in 12 seconds."

"""Counting messages in a real broker, and in one that is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import current_app
from kombu import Connection

from training.broker import count_messages

QUEUE = "test-broker"


@pytest.fixture(autouse=True)
def _empty_queue() -> Iterator[None]:
    yield
    with current_app.connection_for_write() as connection:
        connection.SimpleQueue(QUEUE).clear()


def test_messages_are_counted_and_a_queue_that_nobody_made_is_empty() -> None:
    assert count_messages([QUEUE, "other"]) == {QUEUE: 0, "other": 0}
    for number in range(3):
        current_app.send_task("training.canary", args=[number], queue=QUEUE)
    assert count_messages([QUEUE, "other"]) == {QUEUE: 3, "other": 0}


def test_a_broker_that_is_away_has_no_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(**options: object) -> Connection:
        return Connection("redis://127.0.0.1:9", **options)  # the discard port: refused at once

    monkeypatch.setattr(current_app, "connection_for_read", connect)
    assert count_messages([QUEUE]) is None

"""Waking a worker: after the commit, once, and never at the cost of the request."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from training import doorbell
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN, SWEEP, count_messages, ring

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    messages: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **_options: messages.append((name, args)))
    return messages


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broker that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        connect = current_app.connection_for_write
        monkeypatch.setattr(current_app, "connection_for_write", lambda **options: connect(url=url, **options))
        yield


def test_it_rings_after_the_commit(sent: list[tuple[str, list[int]]]) -> None:
    with transaction.atomic():
        ring(EXECUTE_RUN, 7)
        assert sent == []
    assert sent == [(EXECUTE_RUN, [7])]


def test_it_does_not_ring_for_what_was_rolled_back(sent: list[tuple[str, list[int]]]) -> None:
    with transaction.atomic():
        ring(EXECUTE_RUN, 7)
        transaction.set_rollback(True)
    assert sent == []


def test_the_message_reaches_the_training_queue() -> None:
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue("training")
        queue.clear()
        assert count_messages("training") == 0
        bells = [ring(EXECUTE_RUN, 11), ring(EXECUTE_IMPORT, 12)]
        assert [bell.was_heard for bell in bells] == [True, True]
        assert count_messages("training") == 2
        messages = [queue.get(timeout=5) for _number in range(2)]
        assert [message.headers["task"] for message in messages] == [EXECUTE_RUN, EXECUTE_IMPORT]
        assert [message.payload[0] for message in messages] == [[11], [12]]
        for message in messages:
            message.ack()


def test_sweeping_goes_to_the_default_queue() -> None:
    assert current_app.amqp.router.route({}, SWEEP)["queue"].name == "default"


def test_a_broker_that_is_down_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(current_app, "send_task", refuse)
    with transaction.atomic():
        bell = ring(EXECUTE_RUN, 7)
        assert bell.was_heard is None
    assert bell.was_heard is False
    assert "the sweeper will ring again" in caplog.text


@pytest.mark.usefixtures("silent_broker")
def test_a_broker_that_hangs_costs_two_seconds(caplog: pytest.LogCaptureFixture) -> None:
    start = time.monotonic()
    ring(EXECUTE_RUN, 7)
    assert time.monotonic() - start < 3  # 1.8 s, and a loaded machine
    assert "the sweeper will ring again" in caplog.text


def test_two_waits_fit_into_two_seconds() -> None:
    assert 2 * doorbell._BROKER_SECONDS < 2


def test_messages_of_a_broker_that_is_down_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = current_app.connection_for_read
    nowhere = "redis://127.0.0.1:9/0"
    monkeypatch.setattr(current_app, "connection_for_read", lambda **options: connect(url=nowhere, **options))
    with pytest.raises(OperationalError):
        count_messages("training")

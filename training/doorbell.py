"""Waking a worker: a message that says "look at row N" and nothing else. The sweeper rings again when one is lost."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

EXECUTE_RUN: Final = "training.execute_run"
EXECUTE_IMPORT: Final = "training.execute_import"
EXECUTE_EVALUATION: Final = "training.execute_evaluation"
MIRROR_RUN: Final = "training.mirror_run"
MIRROR_CHAMPION: Final = "training.mirror_champion"
SWEEP: Final = "training.sweep"
CLEAN: Final = "training.clean"

# A request never waits longer than two of these for a broker that does not answer (measured: 2.0 of them when it
# accepts the connection and then says nothing; 3 ms when nothing listens).
_BROKER_SECONDS: Final = 0.9
_NO_RETRIES: Final = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "socket_timeout": _BROKER_SECONDS,
    "socket_connect_timeout": _BROKER_SECONDS,
}

logger = logging.getLogger(__name__)


@dataclass
class Bell:
    """One ringing.

    Attributes:
        was_heard: Whether the broker took the message; None before the transaction is committed.
    """

    was_heard: bool | None = None


def ring(task: str, pk: int) -> Bell:
    """Tell the workers, once the current transaction is committed, that row `pk` waits for the task named `task`.

    A broker that is down costs two seconds at most and a line in the log: the row is queued all the same.
    """
    bell = Bell()
    transaction.on_commit(partial(_send, bell, task, pk))
    return bell


def count_messages(queue: str) -> int:
    """Return how many messages wait in one of the broker's queues; those that a worker has taken do not count.

    Raises:
        OperationalError: the broker does not answer.
    """
    with current_app.connection_for_read(transport_options=_NO_RETRIES) as connection:
        try:
            channel: Any = connection.default_channel  # its types know less than every transport has
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except connection.channel_errors:  # there is no queue without a message
            return 0
        except connection.connection_errors as error:  # it was lost after it had been made
            raise OperationalError(str(error)) from error


def _send(bell: Bell, task: str, pk: int) -> None:
    bell.was_heard = False
    try:
        with current_app.connection_for_write(transport_options=_NO_RETRIES) as connection:
            current_app.send_task(task, args=[pk], connection=connection, retry=False)
            bell.was_heard = True
    except OperationalError as error:
        logger.warning("The broker did not take %s(%d), the sweeper will ring again: %s", task, pk, error)

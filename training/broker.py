"""How many messages wait in the broker."""

from __future__ import annotations

from collections.abc import Iterable

from celery import current_app
from kombu import Connection
from kombu.exceptions import OperationalError

from training.doorbell import NO_RETRIES


def count_messages(queues: Iterable[str]) -> dict[str, int] | None:
    """Return how many messages wait in each of `queues`, those that a worker holds already left out.

    Returns:
        None when the broker does not answer, which costs two seconds at most.
    """
    with current_app.connection_for_read(transport_options=NO_RETRIES) as connection:
        try:
            return {queue: _count(connection, queue) for queue in queues}
        except (OperationalError, *connection.connection_errors):
            return None


def _count(connection: Connection, queue: str) -> int:
    try:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0  # an empty queue does not exist

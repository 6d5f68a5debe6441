"""Proof that messages arrive and are worked on: a row that beat writes, and that a worker completes by a message.

From the two moments, both by the database's clock, comes the time that the whole way took: beat, broker, worker.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import close_old_connections
from django.db.models import ExpressionWrapper, Value, fields
from django.db.models.functions import Now

from training.models import Canary

_FORGOTTEN: Final = timedelta(days=1)


def release_canary(queue: str) -> int:
    """Write the row of a canary that is about to be sent through `queue`; in beat's process.

    Returns:
        The row's number, which is the whole message.
    """
    close_old_connections()  # nothing else in beat would notice one that has broken meanwhile
    long_ago = ExpressionWrapper(Now() - Value(_FORGOTTEN), output_field=fields.DateTimeField())
    Canary.objects.filter(queue=queue, ran_at=None, sent_at__lt=long_ago).delete()
    return Canary.objects.create(queue=queue).pk


def complete_canary(pk: int) -> None:
    """Note that the message of canary `pk` arrived, and forget the queue's older ones. A second delivery does nothing.

    Args:
        pk: The canary; it may have been forgotten.
    """
    if not Canary.objects.filter(pk=pk, ran_at=None).update(ran_at=Now()):
        return
    queue = Canary.objects.values_list("queue", flat=True).get(pk=pk)
    Canary.objects.filter(queue=queue, pk__lt=pk).delete()

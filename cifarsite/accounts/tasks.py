"""Celery tasks about accounts: a primary key in, a call out."""

from typing import Final

from celery import shared_task

from cifarsite.accounts import deliveries
from cifarsite.accounts.notifications import DELIVER

_SECONDS: Final = 30  # a web address that answers a byte at a time keeps no worker for longer


@shared_task(name=DELIVER, time_limit=_SECONDS)
def deliver(pk: int) -> None:
    """Make the attempt that is due of delivery `pk`."""
    deliveries.deliver(pk)


@shared_task(name="accounts.ring_for_due")
def ring_for_due() -> None:
    """Ring for the deliveries whose time has come."""
    deliveries.ring_for_due()

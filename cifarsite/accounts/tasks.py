"""Celery tasks about accounts: a primary key in, a call out."""

from celery import shared_task

from cifarsite.accounts import deliveries
from cifarsite.accounts.notifications import DELIVER


@shared_task(
    name=DELIVER,
    soft_time_limit=deliveries.DEADLINE_SECONDS,
    time_limit=deliveries.DEADLINE_SECONDS + 5,  # for what does not hear of the soft one, such as a name's look-up
)
def deliver(pk: int) -> None:
    """Make the attempt that is due of delivery `pk`."""
    deliveries.deliver(pk)


@shared_task(name="accounts.ring_for_due")
def ring_for_due() -> None:
    """Ring for the deliveries whose time has come."""
    deliveries.ring_for_due()

"""Bringing notifications to a mailbox or a web address. The rows are the truth: a fault only moves the next attempt."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from allauth.account.models import EmailAddress
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db.models import ExpressionWrapper, QuerySet, Value, fields
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import translation
from redis.exceptions import RedisError

from cifarsite.accounts.models import Channel, Delivery, Fault, User, Webhook
from cifarsite.accounts.notices import DELAYS
from cifarsite.accounts.notifications import DELIVER, Notice, describe
from cifarsite.accounts.webhooks import WebhookError, post_notice
from training.doorbell import ring

DEADLINE_SECONDS: Final = 15
"""Of one attempt, from looking the host up to the answer: the task's soft limit, which no slow receiver can stretch."""

_AT_ONCE: Final = 100
_RING_AGAIN_SECONDS: Final = 60

logger = logging.getLogger(__name__)


class DeliveryError(Exception):
    """It could not be delivered this time.

    Attributes:
        fault: Why.
        status_code: HTTP status of the answer; None without one.
    """

    def __init__(self, fault: Fault, message: str, *, status_code: int | None = None) -> None:
        super().__init__(message)
        self.fault, self.status_code = fault, status_code


class UndeliverableError(Exception):
    """There is nothing to deliver it to any more: no further attempt is made."""


def deliver(pk: int) -> None:
    """Make the attempt that is due of delivery `pk`; a message that comes twice, or too early, changes nothing.

    The attempt is noted, with the moment of the next, before it is made: whoever is killed amid it has lost nothing,
    and a receiver may then meet the same `Cifarsite-Delivery`, or `Message-ID`, twice.
    """
    row = Delivery.objects.select_related("notification__owner", "notification__transition").filter(pk=pk).first()
    if row is None or not _claim(row):
        return
    owner: User = row.notification.owner
    with translation.override(owner.language or settings.LANGUAGE_CODE):
        [notice] = describe([row.notification])
        try:
            status_code = _send(row, owner, notice)
        except DeliveryError as error:
            logger.warning("Delivery %d by %s failed, attempt %d: %s", pk, row.channel, row.attempts + 1, error)
            _mine(row).update(fault=error.fault, status_code=error.status_code)
        except UndeliverableError:
            _mine(row).update(fault=Fault.NOWHERE, due_at=None)
        else:
            _mine(row).update(fault="", status_code=status_code, due_at=None, delivered_at=Now())


def ring_for_due() -> None:
    """Ring for what is due: its message was lost, or its time has come again. Each is rung for once in a minute."""
    due = Delivery.objects.filter(due_at__lte=Now()).order_by("due_at").values_list("pk", "attempts")
    for pk, attempts in due[:_AT_ONCE]:
        try:
            is_first = cache.add(f"rung:{DELIVER}:{pk}:{attempts}", 1, timeout=_RING_AGAIN_SECONDS)
        except RedisError as error:
            logger.warning("The cache does not answer: %s", error)
            return
        if is_first:
            ring(DELIVER, pk)


def _claim(row: Delivery) -> bool:
    """Note that an attempt is made, and when the next is due; False when it is not due, or somebody else makes it."""
    this_one = Delivery.objects.filter(pk=row.pk, attempts=row.attempts, due_at__lte=Now())
    is_last = row.attempts >= len(DELAYS)
    claimed = this_one.update(
        attempts=row.attempts + 1,
        due_at=None if is_last else _in(DELAYS[row.attempts]),
        attempted_at=Now(),
        fault=Fault.UNFINISHED,
        status_code=None,
    )
    return bool(claimed)


def _in(seconds: int) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=fields.DateTimeField())


def _mine(row: Delivery) -> QuerySet[Delivery]:
    """The delivery, unless somebody has begun another attempt since."""
    return Delivery.objects.filter(pk=row.pk, attempts=row.attempts + 1)


def _send(row: Delivery, owner: User, notice: Notice) -> int | None:
    """Send it, and return the HTTP status of the answer, if there is one.

    Raises:
        DeliveryError: it could not be delivered, or not before the task's soft limit.
        UndeliverableError: there is nothing to deliver it to.
    """
    try:
        return _SENDERS[Channel(row.channel)](row, owner, notice)
    except SoftTimeLimitExceeded as error:
        raise DeliveryError(Fault.TOO_SLOW, f"Nothing within {DEADLINE_SECONDS} s") from error


def _send_mail(row: Delivery, owner: User, notice: Notice) -> None:
    address = EmailAddress.objects.filter(user=owner, verified=True).order_by("-primary", "pk").first()
    if address is None or not owner.is_active or not owner.wants_mail:
        raise UndeliverableError("The account has no confirmed address, is closed, or wants no mail any more.")
    link = f"{settings.SITE_URL}{notice.path}" if settings.SITE_URL and notice.path else ""
    body = render_to_string("accounts/email/notification.txt", {"notice": notice, "owner": owner, "link": link})
    message = EmailMessage(f"[cifarsite] {notice.title}", body, to=[address.email])
    message.extra_headers["Message-ID"] = f"<notification-{row.notification_id}@{settings.MAIL_DOMAIN}>"
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(Fault.MAIL_SERVER, f"The mail server: {error}") from error


def _post(row: Delivery, owner: User, notice: Notice) -> int:
    webhook = Webhook.objects.filter(owner=owner).first()
    if webhook is None or not owner.is_active:
        raise UndeliverableError("There is no webhook any more, or the account is closed.")
    try:
        return post_notice(webhook, notice, delivery=row.pk)
    except WebhookError as error:
        raise DeliveryError(error.fault, str(error), status_code=error.status_code) from error


_SENDERS: Final[dict[Channel, Callable[[Delivery, User, Notice], int | None]]] = {
    Channel.MAIL: _send_mail,
    Channel.WEBHOOK: _post,
}

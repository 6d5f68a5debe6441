"""A person's webhook: set, removed, and how its last delivery went. The page, the API and the command call these."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cifarsite.accounts.models import Channel, Delivery, User, Webhook
from cifarsite.accounts.notices import MOST_ATTEMPTS
from cifarsite.accounts.webhooks import AddressRefusedError, check_address
from training.exceptions import ServiceError

_SECRET_BYTES: Final = 32


class WebhookRefusedError(ServiceError):
    """Nothing is posted to that address."""

    status: ClassVar[int] = 400
    location: ClassVar[str] = "url"
    code: ClassVar[str] = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookState:
    """A webhook, and what became of what was posted last.

    Attributes:
        webhook: Its row.
        last: The delivery that was attempted last; None before the first.
    """

    webhook: Webhook
    last: Delivery | None

    @property
    def is_given_up(self) -> bool:
        """Whether the last delivery failed, and no further attempt is made."""
        return self.last is not None and self.last.delivered_at is None and self.last.due_at is None


def set_webhook(*, user: User, url: str) -> str:
    """Let a person's notifications be posted to an address from now on.

    Returns:
        The secret that signs them: a new one each time, to be shown to its owner this once.

    Raises:
        WebhookRefusedError: nothing is posted to that address.
    """
    try:
        check_address(url)
    except AddressRefusedError as refusal:
        raise WebhookRefusedError(str(refusal)) from refusal
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    Webhook.objects.update_or_create(owner=user, defaults={"url": url, "secret": secret})
    return secret


def remove_webhook(*, user: User) -> bool:
    """Post nothing more for a person; say whether there was a webhook."""
    deleted, _by_table = Webhook.objects.filter(owner=user).delete()
    return bool(deleted)


def describe_webhook(user: User) -> WebhookState | None:
    """Return a person's webhook and its last delivery; None without a webhook."""
    webhook = Webhook.objects.filter(owner=user).first()
    if webhook is None:
        return None
    posted = Delivery.objects.filter(notification__owner=user, channel=Channel.WEBHOOK, attempted_at__isnull=False)
    return WebhookState(webhook=webhook, last=posted.order_by("-attempted_at", "-pk").first())


def webhook_body(state: WebhookState) -> dict[str, Any]:
    """Return what programs are told of a webhook: never its secret."""
    return {
        "url": state.webhook.url,
        "set_at": state.webhook.created_at,
        "last_delivery": _delivery_body(state.last) if state.last else None,
    }


def _delivery_body(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.pk,
        "notification": delivery.notification_id,
        "attempted_at": delivery.attempted_at,
        "delivered_at": delivery.delivered_at,
        "status_code": delivery.status_code,
        "fault": delivery.fault or None,
        "detail": delivery.fault_text or None,
        "attempts": delivery.attempts,
        "most_attempts": MOST_ATTEMPTS,
        "next_attempt_at": delivery.due_at,
    }

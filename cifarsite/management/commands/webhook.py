"""`manage.py webhook USERNAME`: show, set or remove where a person's notifications are posted."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from cifarsite.accounts.models import Delivery, User
from cifarsite.accounts.notices import MOST_ATTEMPTS
from cifarsite.accounts.webhook_settings import (
    WebhookState,
    describe_webhook,
    remove_webhook,
    set_webhook,
    webhook_body,
)
from cifarsite.management.people import find_person
from training.exceptions import ServiceError


class Command(BaseCommand):
    """Do what a person can on their webhook's page."""

    help = "Show a person's webhook and its last delivery, or set it, which prints its new secret, or remove it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--set", metavar="URL", dest="url", help="post there from now on, with a new secret")
        what.add_argument("--remove", action="store_true", help="post nothing more")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object, as /api/v1/account/webhook does"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Do it, and print what there is now.

        Raises:
            CommandError: no such person, no webhook, or an address to which nothing is posted.
        """
        user = find_person(options["username"])
        if options["remove"]:
            if not remove_webhook(user=user):
                raise CommandError(f"{user.username} has no webhook.")
            self.stdout.write("null" if options["json"] else f"The webhook of {user.username} is removed.")
            return
        secret = _set(user, options["url"]) if options["url"] else ""
        state = describe_webhook(user)
        if state is None:
            raise CommandError(f"{user.username} has no webhook.")
        if options["json"]:
            body = {**webhook_body(state), **({"secret": secret} if secret else {})}
            self.stdout.write(json.dumps(body, cls=DjangoJSONEncoder))
            return
        self.stdout.write(_describe(state))
        if secret:
            self.stdout.write(f"secret, shown only now: {secret}")


def _set(user: User, url: str) -> str:
    try:
        return set_webhook(user=user, url=url)
    except ServiceError as error:
        raise CommandError(str(error)) from error


def _describe(state: WebhookState) -> str:
    return f"{state.webhook.url}\n{_describe_delivery(state.last)}"


def _describe_delivery(delivery: Delivery | None) -> str:
    if delivery is None:
        return "nothing posted yet"
    if delivery.delivered_at is not None:
        return f"last delivery taken {delivery.delivered_at:%Y-%m-%d %H:%M:%S %Z}, status {delivery.status_code}"
    rest = f"next attempt {delivery.due_at:%Y-%m-%d %H:%M:%S %Z}" if delivery.due_at else "given up"
    return (
        f"last delivery failed {delivery.attempted_at:%Y-%m-%d %H:%M:%S %Z}: {delivery.fault_text} "
        f"Attempt {delivery.attempts} of {MOST_ATTEMPTS}, {rest}"
    )

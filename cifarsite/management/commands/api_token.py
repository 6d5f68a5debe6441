"""`manage.py api_token USERNAME`: make a token for a program, and show it this once."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cifarsite.accounts.models import DEFAULT_SCOPES
from cifarsite.accounts.tokens import default_days, make_token
from cifarsite.management.people import find_person
from training.choices import Scope
from training.exceptions import ServiceError


class Command(BaseCommand):
    """Make an API token. Only its hash is stored: whoever loses it makes another."""

    help = "Print a new API token of a person. It is shown only now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        days = default_days()
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="what it is for, up to 100 characters")
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            choices=Scope.values,
            help="what it may be used for; may be repeated (default: all but the account itself)",
        )
        parser.add_argument("--days", type=_days, default=days, help=f"how long it is valid (default {days})")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Make the token and print it alone on standard output, for a program to read.

        Raises:
            CommandError: no such person, a closed account, too many tokens, or too long a name.
        """
        user = find_person(options["username"])
        if len(options["name"]) > 100:
            raise CommandError("The token's name has more than 100 characters.")
        scopes = options["scopes"] or DEFAULT_SCOPES.split()
        try:
            row, token = make_token(owner=user, name=options["name"], scopes=scopes, days=options["days"])
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(f"A token for {user.username}, valid until {row.expiry:%Y-%m-%d}; it is shown only now:")
        self.stdout.write(token)


def _days(text: str) -> int:
    if not text.isdecimal() or len(text) > 20 or not 1 <= int(text) <= settings.TOKEN_MAX_DAYS:
        message = f"{text!r} is not a number of days from 1 to {settings.TOKEN_MAX_DAYS}"
        raise ArgumentTypeError(message)
    return int(text)

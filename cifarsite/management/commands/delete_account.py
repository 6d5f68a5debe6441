"""`manage.py delete_account USERNAME --yes`: delete an account with everything that is its owner's alone."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cifarsite.accounts.deletion import delete_account
from cifarsite.management.people import find_person
from training.exceptions import ServiceError


class Command(BaseCommand):
    """Delete an account as its owner can on their account page."""

    help = "Delete an account, its history, batches, tokens and notifications. Runs, datasets and models stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("--yes", action="store_true", help="really: there is no way back")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Delete it.

        Raises:
            CommandError: no such person, the last administrator, or nobody said --yes.
        """
        user = find_person(options["username"])
        if not options["yes"]:
            raise CommandError(f"Say --yes to delete {user.username} for good.")
        try:
            delete_account(user=user)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['username']} is deleted.")

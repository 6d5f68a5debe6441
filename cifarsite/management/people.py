"""Finding the person whom a command is about."""

from __future__ import annotations

from django.core.management.base import CommandError

from cifarsite.accounts.models import User


def find_person(username: str) -> User:
    """Return the account of that name.

    Raises:
        CommandError: there is none.
    """
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no account named {username!r}.")
    return user

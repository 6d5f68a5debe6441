"""Signed-in people of each group, and reading what a page says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from html import unescape
from typing import Any

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.test import Client

from cifarsite.accounts.models import User
from tests.factories import UserFactory


class Person(Client):
    """A signed-in browser without JavaScript; `user` is who sits before it."""

    def __init__(self, *groups: str, **fields: Any) -> None:
        super().__init__()
        self.user = UserFactory.create(groups=groups, **fields)
        self.force_login(self.user)

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Sign somebody in, who types their password at that."""
        super().force_login(user, backend)
        prove(self, user)


def prove(client: Client, user: User, *, ago_seconds: float = 0.0) -> None:
    """Let a signed-in browser have been given the password, some time ago."""
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time() - ago_seconds}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def text_of(response: Any) -> str:
    """Return what a page says, without its tags, on one line."""
    without_tags = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", unescape(without_tags)).strip()


def errors_of(response: Any) -> Mapping[str, list[str]]:
    """Return the errors of a page's form, by field."""
    errors: Mapping[str, list[str]] = response.context["form"].errors
    return errors

"""Signed-in people of each group, and reading what a page says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from django.test import Client

from tests.factories import UserFactory


class Person(Client):
    """A signed-in browser without JavaScript; `user` is who sits before it."""

    def __init__(self, *groups: str, **fields: Any) -> None:
        super().__init__()
        self.user = UserFactory.create(groups=groups, **fields)
        self.force_login(self.user)


def text_of(response: Any) -> str:
    """Return what a page says, without its tags, on one line."""
    without_tags = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", unescape(without_tags)).strip()


def errors_of(response: Any) -> Mapping[str, list[str]]:
    """Return the errors of a page's form, by field."""
    errors: Mapping[str, list[str]] = response.context["form"].errors
    return errors

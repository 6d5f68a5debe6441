"""Queries on API tokens; every one that serves a person starts from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from cifarsite.accounts.models import ApiToken, User


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Queries on API tokens."""

    def owned_by(self, user: User) -> Self:
        """Tokens of one person, the newest first: nobody sees another's."""
        return self.filter(user=user).order_by("-created", "pk")

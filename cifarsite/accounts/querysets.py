"""Queries on what belongs to a person; every one that serves somebody starts from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from cifarsite.accounts.models import ApiToken, User
    from cifarsite.accounts.notices import Notification


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Queries on API tokens."""

    def owned_by(self, user: User) -> Self:
        """Tokens of one person, the newest first: nobody sees another's."""
        return self.filter(user=user).order_by("-created", "pk")


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Queries on notifications."""

    def owned_by(self, user: User) -> Self:
        """Notifications of one person, the newest first: nobody sees another's."""
        return self.filter(owner=user).select_related("transition").order_by("-pk")

    def unread(self) -> Self:
        """Those that were not read yet."""
        return self.filter(read_at=None)

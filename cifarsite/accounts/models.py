"""The site's own user and API token models, custom from the first migration so that they can grow."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken, AuthTokenManager

from cifarsite.accounts.notices import Channel, Delivery, Fault, Notification, Webhook
from cifarsite.accounts.querysets import ApiTokenQuerySet
from cifarsite.accounts.sessions import SessionStore
from training.choices import Scope

__all__ = ["DEFAULT_SCOPES", "ApiToken", "Channel", "Delivery", "Fault", "Notification", "Session", "User", "Webhook"]

DEFAULT_SCOPES: Final = " ".join(scope for scope in Scope.values if scope != Scope.ACCOUNT)
"""Of a token for which nobody names any: what concerns the account has to be asked for."""


class User(AbstractUser):
    """A person. What they may do follows from their groups (`cifarsite.accounts.groups`)."""

    language = models.CharField(_("language"), max_length=2, blank=True, default="")  # "": the browser's
    time_zone = models.CharField(_("time zone"), max_length=63, blank=True, default="")  # "": the browser's
    wants_mail = models.BooleanField(_("is told by e-mail when a job ends"), default=False)
    # How many of their notifications are unread; kept here, where every page finds it without a query of its own.
    unread_notifications = models.PositiveIntegerField(_("unread notifications"), default=0, editable=False)


class Session(AbstractBaseSession):
    """A signed-in browser, or one that is not; it goes with its account."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")

    class Meta(AbstractBaseSession.Meta):
        abstract = False

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        """Return what reads and writes it."""
        return SessionStore


class ApiToken(AbstractAuthToken):
    """A hashed, expiring token with which a program acts for its owner; shown once, when made.

    It is good for what its scopes name, as far as its owner may do it. Whoever revokes a token also revokes those that
    were made with it: a thief cannot keep what they made for themselves.
    """

    name = models.CharField(_("name"), max_length=100, default="")
    scopes = models.CharField(_("scopes"), max_length=100, default=DEFAULT_SCOPES)  # of `Scope`, separated by spaces
    last_used_at = models.DateTimeField(_("last use"), null=True, blank=True)  # to the minute
    made_with = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="made")

    objects = AuthTokenManager.from_queryset(ApiTokenQuerySet)()

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.token_key}… ({self.name})" if self.name else f"{self.token_key}…"

    @property
    def scope_list(self) -> list[Scope]:
        """What it may be used for."""
        return [Scope(name) for name in self.scopes.split()]

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expiry is not None and self.expiry <= timezone.now()

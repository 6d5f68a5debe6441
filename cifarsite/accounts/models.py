"""The site's own user and API token models, custom from the first migration so that they can grow."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken


class User(AbstractUser):
    """A person. What they may do follows from their groups (`cifarsite.accounts.groups`)."""


class ApiToken(AbstractAuthToken):
    """A hashed, expiring token with which a program acts for its owner; shown once, when made."""

    name = models.CharField(_("name"), max_length=100, default="")

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.token_key}… ({self.name})" if self.name else f"{self.token_key}…"

"""The language that a person chose, carried from their account to their browser."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse

from cifarsite.accounts.models import User


def remember_language(response: HttpResponse, user: User) -> None:
    """Let this browser get its pages in the language that its person chose, if they chose one."""
    if user.language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            user.language,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )

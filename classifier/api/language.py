"""In which language a program gets the names of classes."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework.exceptions import ValidationError

PARAMETER: Final = "lang"
DEFAULT: Final = "en"


def requested_language(request: HttpRequest) -> str:
    """Return the language of `?lang=`, else of `Accept-Language`, else English.

    Raises:
        ValidationError: `?lang=` asks for a language that is not spoken here.
    """
    asked = request.GET.get(PARAMETER)
    if asked is not None:
        found = _supported(asked)
        if found is None:
            known = ", ".join(code for code, _name in settings.LANGUAGES)
            raise ValidationError({PARAMETER: [f"This language is not spoken here; choose among {known}."]})
        return found
    return accepted_language(request)


def accepted_language(request: HttpRequest) -> str:
    """Return the language of `Accept-Language`, else English.

    Neither a cookie nor the site's own default counts: a program gets the same answer for the same request.
    """
    for code, _weight in parse_accept_lang_header(request.headers.get("Accept-Language", "").lower()):
        found = None if code == "*" else _supported(code)
        if found is not None:
            return found
    return DEFAULT


def _supported(code: str) -> str | None:
    try:
        return get_supported_language_variant(code.lower())
    except LookupError:
        return None

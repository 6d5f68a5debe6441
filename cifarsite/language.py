"""In which language the site answers: pages as Django decides it, programs as their request says."""

from __future__ import annotations

from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from cifarsite.problems import API_PREFIX
from classifier.api.language import accepted_language


class LanguageMiddleware(LocaleMiddleware):
    """Django's own, but for the API, where neither a cookie nor the site's default counts."""

    def process_request(self, request: HttpRequest) -> None:
        """Choose the language."""
        if not request.path.startswith(API_PREFIX):
            super().process_request(request)
            return
        translation.activate(accepted_language(request))
        request.LANGUAGE_CODE = translation.get_language() or ""

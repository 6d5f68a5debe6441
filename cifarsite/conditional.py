"""Answers of the API that have not changed are not sent again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.http import ConditionalGetMiddleware

from cifarsite.problems import API_PREFIX

PRIVATE: Final = "private, no-cache"
"""What is kept is one person's, and asked about before it is used."""


class ApiConditionalGetMiddleware(ConditionalGetMiddleware):
    """Django's own for the API alone: an `ETag` of the content, and 304 for whoever has it already.

    It saves the way, not the work: what the answer holds has to be looked up to know that it is the same. Pages have
    tokens against forgery in them, so that theirs would never be the same.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the headers, or answer 304."""
        if not request.path.startswith(API_PREFIX):
            return response
        if not response.has_header("Cache-Control"):
            response.headers["Cache-Control"] = PRIVATE
        if response.status_code != HTTPStatus.OK:
            return response
        return super().process_response(request, response)

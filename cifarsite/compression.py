"""Pages on their way: compressed for browsers, while what programs get is sent as it is."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from cifarsite.problems import API_PREFIX

_TYPES: Final = ("text/html", "application/json")


class PageCompressionMiddleware(GZipMiddleware):
    """Django's own for pages and for what their modules fetch; its padding of random length guards secrets in them.

    Source: "Heal the Breach: Detecting and Mitigating Compression-Based Attacks" (IEEE Access, 2022).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Compress the answer where that is worth it and asked for."""
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        is_of_a_page = kind in _TYPES and not request.path.startswith(API_PREFIX)
        if response.streaming or not (is_of_a_page or _is_description(request)):
            return response
        return super().process_response(request, response)


def _is_description(request: HttpRequest) -> bool:
    """Tell the API's description from its answers: its documentation shows people some 260 KB of it."""
    match = request.resolver_match
    return match is not None and match.view_name == "api:schema"

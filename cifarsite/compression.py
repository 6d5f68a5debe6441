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
        if response.streaming or kind not in _TYPES or request.path.startswith(API_PREFIX):
            return response
        return super().process_response(request, response)

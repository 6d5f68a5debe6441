"""What a browser may load on our pages (`CONTENT_SECURITY_POLICY`), said in a header of every answer."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Final

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.http import HttpRequest, HttpResponse, HttpResponseBase

_API: Final = "/api/"


class ContentPolicyMiddleware(CSPMiddleware):
    """django-csp's middleware, which composes the policy anew for every answer; the API's needs no nonce of its own."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the header."""
        if not request.path_info.startswith(_API):
            answered: HttpResponseBase = super().process_response(request, response)
            return answered
        response.headers.setdefault(HEADER, _policy_without_nonce())
        return response


def _no_site(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@cache
def _policy_without_nonce() -> str:
    parts = CSPMiddleware(_no_site).get_policy_parts(request=HttpRequest(), response=HttpResponse())
    return str(build_policy(**asdict(parts)))

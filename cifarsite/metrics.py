"""/metrics, where Prometheus reads the site's figures."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import View
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from cifarsite.metrics_collector import SiteCollector

_SCHEME: Final = "bearer"
_PLAIN: Final = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)

registry: Final = CollectorRegistry(auto_describe=False)
registry.register(SiteCollector())


@method_decorator(never_cache, name="dispatch")
class MetricsView(View):
    """The figures, for signed-in staff and for a program that knows the token.

    A program is refused with 401 where there is a token, with 404 where there is none; a person who is not staff with
    403. Refusals are plain text: programs read them.
    """

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Read the figures and answer in the format that is asked for."""
        refusal = _refuse(request)
        if refusal is not None:
            return refusal
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        try:
            return HttpResponse(encode(registry), content_type=content_type)
        except DatabaseFailure as error:
            logger.error("The figures cannot be read: %s", error)
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer.")


def _refuse(request: HttpRequest) -> HttpResponse | None:
    """Return the refusal for somebody who may not read the figures."""
    given = request.headers.get("Authorization", "")
    if given or not request.user.is_authenticated:
        return _refuse_program(given)
    if not request.user.is_staff:
        return _answer(HTTPStatus.FORBIDDEN, "The figures are for the staff.")
    return None


def _refuse_program(given: str) -> HttpResponse | None:
    if not settings.METRICS_TOKEN:
        return _answer(HTTPStatus.NOT_FOUND, "Without CIFARSITE_METRICS_TOKEN only signed-in staff see anything here.")
    scheme, _space, token = given.partition(" ")
    if scheme.lower() == _SCHEME and secrets.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode()):
        return None
    refusal = _answer(HTTPStatus.UNAUTHORIZED, "Give the token: Authorization: Bearer TOKEN.")
    refusal.headers["WWW-Authenticate"] = "Bearer"
    return refusal


def _answer(status: HTTPStatus, sentence: str) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", status=status, content_type=_PLAIN)

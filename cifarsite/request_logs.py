"""Who asked for what: every record of a request carries the request's id and, once that is known, the user's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.utils.functional import LazyObject
from django_structlog.middlewares import RequestMiddleware

from cifarsite.logs import current_user_id

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class RequestLogMiddleware(RequestMiddleware):
    """django-structlog's middleware, without its price and its indiscretions. Stands behind the authentication."""

    def __call__(self, request: HttpRequest) -> HttpResponse:  # type: ignore[override]  # never awaitable under WSGI
        """Answer a request."""
        token = current_user_id.set(partial(_known_user_id, request))
        try:
            return super().__call__(request)  # type: ignore[return-value]
        finally:
            current_user_id.reset(token)

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Leave it to `current_user_id`: asking here costs two queries, and "are you alive?" would need a database."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Return method and path: what follows a question mark may be a secret."""
        return f"{request.method} {request.path}"

    def process_got_request_exception(self, *_arguments: object, **_signal: object) -> None:
        """Leave the traceback to Django, which logs it as well."""


def _known_user_id(request: HttpRequest) -> int | None:
    """Return the number of a signed-in user, if the request has been asked for it already."""
    user = request.user
    if isinstance(user, LazyObject) and not hasattr(request, "_cached_user"):
        return None
    return user.pk

"""What people see when something is refused or fails; programs under /api/ get problem+json instead."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: the request could not be understood."""
    return _page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: the person may not do this."""
    return _page(request, 403)


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: nothing here, or nothing of this person's."""
    return _page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: something broke. The page asks nothing of the database nor of the session, which may be what broke."""
    return HttpResponse(render_to_string("errors/500.html"), status=500)


def too_many_requests(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """429: somebody tries too often what is bounded by the minute: passwords, codes, sign-ups, mails."""
    response = _page(request, 429)
    response.headers["Retry-After"] = "60"
    return response


def _page(request: HttpRequest, status: int) -> HttpResponse:
    return render(request, f"errors/{status}.html", status=status)

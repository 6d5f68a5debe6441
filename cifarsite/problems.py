"""Every refusal of the API in one shape, `application/problem+json` (RFC 9457); pages get pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any, Final

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions

from cifarsite import error_pages
from classifier.archives import ArchiveRejected
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady
from training.api.bounded import FormError
from training.exceptions import ServiceError

logger = logging.getLogger(__name__)

API_PREFIX: Final = "/api/"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
"""When a program may ask again after a 503; a champion is looked for every second."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (a field, a header, a part of the site), which kind, and a sentence."""

    location: str
    code: str
    detail: str


LazyFault = tuple[str, str, Promise]
_MALFORMED: Final[LazyFault] = ("request", "bad_request", gettext_lazy("The request cannot be understood."))
_FORBIDDEN: Final[LazyFault] = ("account", "permission_denied", gettext_lazy("This account may not do that."))
_ABSENT: Final[LazyFault] = ("path", "not_found", gettext_lazy("There is nothing at this address."))
_BROKEN: Final[LazyFault] = ("server", "error", gettext_lazy("Something broke here. It has been noted."))


def problem(
    request: HttpRequest, status: int, faults: Sequence[Fault], *, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer with a problem; the first fault's sentence is the problem's.

    Args:
        request: what is refused; its path becomes `instance`.
        status: HTTP status.
        faults: one or more.
        headers: added to the answer.
    """
    phrase = HTTPStatus(status).phrase
    body = {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": faults[0].detail,
        "instance": request.path,
        "errors": [{"location": fault.location, "code": fault.code, "detail": fault.detail} for fault in faults],
    }
    return JsonResponse(body, status=status, content_type=MEDIA_TYPE, headers=dict(headers or {}))


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Turn what an API view raised into a problem; None for what nobody expected, which Django logs and answers."""
    request: HttpRequest = context["request"]
    if isinstance(error, exceptions.APIException):
        return problem(request, error.status_code, list(_api_faults(error)), headers=_api_headers(error))
    found = _expected(error)
    if found is None:
        return None
    status, fault = found
    if fault.location == "database":
        logger.error("The database did not answer: %s", error)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(request, status, [fault], headers=headers)


# What the framework of the API does not know: exceptions, status, and the fault to report.
_EXPECTED: Final[tuple[tuple[tuple[type[Exception], ...], int, LazyFault], ...]] = (
    ((RequestDataTooBig,), 413, ("body", "too_large", gettext_lazy("The request is larger than is accepted here."))),
    (
        (TooManyFilesSent, TooManyFieldsSent),
        400,
        ("body", "too_many_parts", gettext_lazy("The form has too many fields or files.")),
    ),
    ((RecursionError,), 400, ("body", "too_deep", gettext_lazy("The request is nested too deeply."))),
    (
        (OperationalError, InterfaceError),
        503,
        ("database", "unavailable", gettext_lazy("The database does not answer. Try again in a moment.")),
    ),
    (
        (ModelNotReady,),
        503,
        ("model", "model_not_ready", gettext_lazy("No model is ready to answer yet. Try again in a minute.")),
    ),
    ((Http404,), 404, _ABSENT),
    ((PermissionDenied,), 403, _FORBIDDEN),
    ((SuspiciousOperation, BadRequest), 400, _MALFORMED),
)


def _expected(error: Exception) -> tuple[int, Fault] | None:
    """Return status and fault of an exception that the framework of the API does not know."""
    if isinstance(error, ImageRejected | ArchiveRejected):
        location = "file" if isinstance(error, ImageRejected) else "archive"
        return error.status, Fault(location, error.code, str(error.detail))
    if isinstance(error, MultiPartParserError | UnreadablePostError):
        return 400, Fault("body", "malformed", str(error) if isinstance(error, FormError) else _describe_form())
    if isinstance(error, ServiceError):
        return error.status, Fault(error.location, error.code, str(error))
    for kinds, status, fault in _EXPECTED:
        if isinstance(error, kinds):
            return status, _fault(fault)
    return None


def _describe_form() -> str:
    return _(
        "The form cannot be read: send multipart/form-data whose Content-Type names the boundary, as programs that "
        "send forms do by themselves."
    )


def _fault(parts: LazyFault) -> Fault:
    location, code, detail = parts
    return Fault(location, code, str(detail))


_LOCATIONS: Final[dict[type[exceptions.APIException], str]] = {
    exceptions.NotAuthenticated: "header:Authorization",
    exceptions.AuthenticationFailed: "header:Authorization",
    exceptions.PermissionDenied: "account",
    exceptions.NotAcceptable: "header:Accept",
    exceptions.UnsupportedMediaType: "header:Content-Type",
    exceptions.MethodNotAllowed: "method",
    exceptions.NotFound: "path",
    exceptions.ParseError: "body",
    exceptions.Throttled: "account",
}


def _api_faults(error: exceptions.APIException) -> Sequence[Fault]:
    if isinstance(error, exceptions.ParseError) and isinstance(error.__context__, ValueError):
        return [Fault("body", error.default_code, _describe_json(error.__context__))]
    location = getattr(error, "location", None) or _LOCATIONS.get(type(error), "body")
    return list(_flatten(error.get_full_details(), location)) or [Fault(location, "error", str(error))]


def _describe_json(error: ValueError) -> str:
    """Say what is wrong with JSON that cannot be read."""
    if isinstance(error, JSONDecodeError):
        return _("The body is not JSON that can be read: look at line %(line)d, column %(column)d.") % {
            "line": error.lineno,
            "column": error.colno,
        }
    return _("The body is not JSON that can be read: it has to be in UTF-8, without NaN, Infinity or endless numbers.")


def _flatten(details: Any, location: str) -> Sequence[Fault]:  # noqa: ANN401  # nested as the validated data is
    """List the leaves of an exception's details; the keys on the way become the location."""
    if not isinstance(details, Mapping):
        pairs = [("", value) for value in details]
    elif set(details) == {"message", "code"} and isinstance(details["message"], str):
        return [Fault(location, str(details["code"]), str(details["message"]))]
    else:
        pairs = [(str(key), value) for key, value in details.items()]
    faults: list[Fault] = []
    for key, value in pairs:
        inner = location if key in {"", "non_field_errors"} else key if location == "body" else f"{location}.{key}"
        faults.extend(_flatten(value, inner))
    return faults


def _api_headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", ""):
        headers["WWW-Authenticate"] = str(challenge)
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(max(1, round(wait)))
    return headers


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400 of the whole site: a problem under /api/, a page elsewhere."""
    if not _is_api(request):
        return error_pages.bad_request(request, exception)
    status, fault = (_expected(exception) if exception else None) or (400, _fault(_MALFORMED))
    return problem(request, status, [fault])


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403 of the whole site: a problem under /api/, a page elsewhere."""
    if not _is_api(request):
        return error_pages.permission_denied(request, exception)
    return problem(request, 403, [_fault(_FORBIDDEN)])


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404 of the whole site: a problem under /api/, a page elsewhere."""
    if not _is_api(request):
        return error_pages.page_not_found(request, exception)
    return problem(request, 404, [_fault(_ABSENT)])


def server_error(request: HttpRequest) -> HttpResponse:
    """500 of the whole site: a problem under /api/, a page elsewhere. What broke is in the log only."""
    if not _is_api(request):
        return error_pages.server_error(request)
    return problem(request, 500, [_fault(_BROKEN)])


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(API_PREFIX)

"""Whether whoever sits before a signed-in browser has proven lately that they are the account's owner.

Asked before a token is made, a webhook is set, all data are taken along, an e-mail address or the second factor is
changed: a browser that somebody left alone, or a stolen session, opens none of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

P = ParamSpec("P")
ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


class ProofMissing(PermissionDenied):
    """The session is good, but it is a while since its owner typed their password."""

    default_code = "proof_missing"
    location = "cookie:sessionid"


def is_proof_old(request: HttpRequest) -> bool:
    """Whether the password, or a code, was last typed in this session longer ago than the site is set to."""
    user: Any = request.user
    records = get_authentication_records(request, user)
    return not records or time.time() - records[-1]["at"] >= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def needs_proof(request: HttpRequest) -> bool:
    """Whether a person has to prove themselves again; who has nothing to prove it with is not asked."""
    return is_proof_old(request) and bool(get_adapter().get_reauthentication_methods(request.user))


def proof_required(
    view: Callable[Concatenate[HttpRequest, P], ResponseT],
) -> Callable[Concatenate[HttpRequest, P], ResponseT]:
    """Let a page ask for the password first, where the last proof is old. Stands behind `login_required`.

    allauth's middleware leads there and back; what was posted is kept, and carried out after the password.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **options: P.kwargs) -> ResponseT:
        if needs_proof(request):
            raise ReauthenticationRequired
        return view(request, *args, **options)

    return guarded


def require_proof(request: Request) -> None:
    """Make sure that a request to the API comes from a token, or from a session with a recent proof.

    Raises:
        ProofMissing: it comes from a session without one.
    """
    if request.auth is None and needs_proof(request._request):  # its documented attribute
        page = request.build_absolute_uri(reverse("account_reauthenticate"))
        message = _("It is a while since you typed your password: do it again at %(page)s, or use an API token.")
        raise ProofMissing(message % {"page": page})

"""How programs prove who they are: `Authorization: Token …`, and nowhere else (never in the address)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from allauth.account.adapter import get_adapter
from django.db.models import Case, DateTimeField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from cifarsite.accounts.models import ApiToken, User
from training.api.scopes import require_scope, stated_scope
from training.api.throttling import RateExceeded
from training.rates import take_turn

GUESSES_PER_MINUTE: Final = 100
"""Refused tokens of one address, after which it is not listened to for the rest of a minute."""

_LONGEST: Final = 200
"""Characters; ours have 64 hexadecimal digits."""
_USE_NOTED_EVERY: Final = timedelta(minutes=1)
_NOT_IN_ADDRESS: Final = {"token", "access_token", "auth_token", "authorization", "api_key", "apikey"}


@dataclass(frozen=True, slots=True)
class Credential:
    """The token with which a request came: `request.auth`.

    Attributes:
        digest: Primary key of the token's row.
        scopes: What it may be used for.
    """

    digest: str
    scopes: frozenset[str]


class ApiTokenAuthentication(TokenAuthentication):  # type: ignore[misc]  # the package ships no types
    """Knox's tokens, looked up by their digest in one query, which mostly is the only one.

    Knox itself reads all tokens of the owner and deletes expired ones at every request.
    """

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        """Return the owner and the token; None for a request without one.

        Raises:
            AuthenticationFailed: no such token, it has expired, its owner was deactivated, or it is in the address.
            RateExceeded: too many tokens that came from this address were refused.
            ScopeMissing: the token may not be used for this.
        """
        if not _NOT_IN_ADDRESS.isdisjoint(name.lower() for name in request.query_params):
            raise AuthenticationFailed(
                _(
                    "A token does not belong in the address, which logs and histories keep: revoke this one, and send "
                    "another in the header “Authorization: Token …”."
                ),
                code="token_in_address",
            )
        if "Authorization" in request.headers:
            guesses.require_patience(request)
        try:
            found: tuple[User, Credential] | None = super().authenticate(request)
        except AuthenticationFailed:
            guesses.note(request)
            raise
        if found is not None:
            view = request.parser_context.get("view")
            require_scope(view=view, method=request.method or "", held=found[1].scopes)
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[User, Credential]:
        """Return the owner and the token.

        Raises:
            AuthenticationFailed: no such token, it has expired, or its owner was deactivated.
        """
        # Digests are of unguessable tokens, so the time that a lookup takes tells nothing.
        digest = hash_token(token.decode("ascii")) if len(token) <= _LONGEST and token.isalnum() else ""
        statement, parameters = _owner_sql()
        found = User.objects.raw(statement, [digest if value == _DIGEST else value for value in parameters])
        owner: Any = next(iter(found), None)  # with columns of the token
        if owner is None:
            raise AuthenticationFailed(_("This token is not known, was revoked or has expired."))
        if not owner.is_active:
            raise AuthenticationFailed(_("This account is closed."))
        if owner.token_use_is_old:
            ApiToken.objects.filter(_use_is_old(""), digest=digest).update(last_used_at=Now())
        return owner, Credential(digest=digest, scopes=frozenset(owner.token_scopes.split()))


class CsrfFailed(PermissionDenied):
    """A session's request that another site could have made the browser send."""

    default_code = "csrf_failed"
    default_detail = gettext_lazy(
        "The session’s CSRF token is missing or wrong: send what is in the cookie “csrftoken” as the header "
        "“X-CSRFToken”, or use an API token."
    )
    location = "header:X-CSRFToken"


class CheckedSessionAuthentication(SessionAuthentication):
    """The framework's own, which says what to do."""

    def enforce_csrf(self, request: Request) -> None:
        """Make sure that the request comes from a page of ours.

        Raises:
            CsrfFailed: nothing shows that.
        """
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise CsrfFailed from error


class Guesses:
    """The addresses that sent too many tokens which were refused.

    They are counted where all processes see them; that a count is exceeded, each process learns by one more refusal and
    remembers, so that good requests pay nothing for it.
    """

    _MOST: Final = 1000

    def __init__(self) -> None:
        self._silent_until: dict[str, float] = {}

    def forget(self) -> None:
        """Start afresh."""
        self._silent_until.clear()

    def require_patience(self, request: Request) -> None:
        """Make sure that the request's address is listened to.

        Raises:
            RateExceeded: it is not, for the seconds that the exception names.
        """
        if not self._silent_until:
            return
        wait = self._silent_until.get(_address(request), 0.0) - time.monotonic()
        if wait > 0:
            raise RateExceeded(wait, limit=GUESSES_PER_MINUTE)

    def note(self, request: Request) -> None:
        """Count a token that was refused.

        Raises:
            RateExceeded: there were too many.
        """
        address = _address(request)
        wait = take_turn("guess", by=address, limit=GUESSES_PER_MINUTE)
        if wait > 0:
            if len(self._silent_until) >= self._MOST:
                self._silent_until.clear()  # the counts are still there
            self._silent_until[address] = time.monotonic() + wait
            raise RateExceeded(wait, limit=GUESSES_PER_MINUTE)


guesses: Final = Guesses()


def _address(request: Request) -> str:
    return str(get_adapter().get_client_ip(request._request))  # its documented attribute


_DIGEST: Final = "DIGEST"


def _use_is_old(prefix: str) -> Q:
    noted = f"{prefix}last_used_at"
    long_ago = ExpressionWrapper(Now() - Value(_USE_NOTED_EVERY), output_field=DateTimeField())
    return Q(**{noted: None}) | Q(**{f"{noted}__lt": long_ago})


@cache
def _owner_sql() -> tuple[str, tuple[Any, ...]]:
    """Return the ORM's own statement; composing it anew takes 0.25 ms, running it 0.02 ms (SQLite, two cores)."""
    lives = Q(auth_token_set__expiry=None) | Q(auth_token_set__expiry__gt=Now())
    owners = User.objects.filter(lives, auth_token_set__digest=_DIGEST).annotate(
        token_scopes=F("auth_token_set__scopes"),
        token_use_is_old=Case(When(_use_is_old("auth_token_set__"), then=Value(1)), default=Value(0)),
    )
    statement, parameters = owners.query.sql_with_params()
    return statement, parameters


class CheckedSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]  # the package ships no types
    """The documentation describes it as the framework's own."""

    target_class = "cifarsite.authentication.CheckedSessionAuthentication"


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # nor does this one
    """How the documentation describes it."""

    target_class = ApiTokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ANN401  # the package ships no types
        """Return the OpenAPI security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and a token made under “API tokens” or with `manage.py api_token USERNAME`, "
            "separated by a space. In an operation's `security`, the scope that the token needs.",
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:  # noqa: ANN401  # as above
        """Return the scope that the operation needs."""
        scope = stated_scope(auto_schema.view, auto_schema.method)
        return {self.name: [str(scope)] if scope else []}

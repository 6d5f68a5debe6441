"""How programs prove who they are: `Authorization: Token …`, and nowhere else (never in the address)."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed

from cifarsite.accounts.models import User

_LONGEST: Final = 200
"""Characters; ours have 64 hexadecimal digits."""


class ApiTokenAuthentication(TokenAuthentication):  # type: ignore[misc]  # the package ships no types
    """Knox's tokens, looked up by their digest in one query that writes nothing.

    Knox itself reads all tokens of the owner and deletes expired ones at every request.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, str]:
        """Return the owner and the token's digest.

        Raises:
            AuthenticationFailed: no such token, it has expired, or its owner was deactivated.
        """
        # Digests are of unguessable tokens, so the time that a lookup takes tells nothing.
        digest = hash_token(token.decode("ascii")) if len(token) <= _LONGEST and token.isalnum() else ""
        owner = next(iter(User.objects.raw(_owner_sql(), [digest])), None)
        if owner is None:
            raise AuthenticationFailed(_("This token is not known, was revoked or has expired."))
        if not owner.is_active:
            raise AuthenticationFailed(_("This account is closed."))
        return owner, digest


@cache
def _owner_sql() -> str:
    """Return the ORM's own statement; composing it anew takes 0.25 ms, running it 0.02 ms (SQLite, two cores)."""
    lives = Q(auth_token_set__expiry=None) | Q(auth_token_set__expiry__gt=Now())
    owners = User.objects.filter(lives, auth_token_set__digest="")  # nosec B106  # only where the digest will stand
    statement, _parameters = owners.query.sql_with_params()
    return statement


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
            "description": "`Token` and a token made with `manage.py api_token USERNAME`, separated by a space.",
        }

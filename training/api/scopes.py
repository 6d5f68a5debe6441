"""Which scope a token needs: every view of the API states one, and a token opens nothing that states none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from django.utils.translation import gettext as _
from rest_framework.exceptions import PermissionDenied

from training.choices import Scope

ANY_TOKEN: Final = ""
"""What a view states that every token may use, whatever its scopes."""

Statement = Scope | str | Mapping[str, Scope | str]
"""A view's `scope`: one for all its methods, or one for each."""


class ScopeMissing(PermissionDenied):
    """The token is good, but not for this."""

    default_code = "scope_missing"
    location = "header:Authorization"


def stated_scope(view: object, method: str) -> str | None:
    """Return the scope that `view`, a view or its class, states for `method`; None where it states none."""
    statement: Statement | None = getattr(view, "scope", None)
    if isinstance(statement, Mapping):
        return statement.get("GET" if method == "HEAD" else method)
    return statement


def require_scope(*, view: object, method: str, held: Collection[str]) -> None:
    """Make sure that a token with the scopes `held` may be used for this; what the view cannot do is refused later.

    Raises:
        ScopeMissing: it may not.
    """
    if method == "OPTIONS" or not hasattr(view, method.lower()):
        return
    needed = stated_scope(view, method)
    if needed is None:
        raise ScopeMissing(_("No token may be used for this. Sign in instead."), code="token_refused")
    if needed != ANY_TOKEN and needed not in held:
        message = _("This token lacks the scope “%(scope)s”. Make one that has it, under “API tokens”.")
        raise ScopeMissing(message % {"scope": needed})

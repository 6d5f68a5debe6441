"""What may be asked about API tokens. The page, the API and the command all call these."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from cifarsite.accounts.models import ApiToken, User
from training.choices import Scope
from training.exceptions import ServiceError

MOST_TOKENS: Final = 100
"""Of one person, the expired ones included: all of them fit on a page."""


class TokenTooNarrowError(ServiceError):
    """A token was to make or revoke one that may do more than itself."""


def make_token(
    *, owner: User, name: str, scopes: Collection[str], days: int, made_with: ApiToken | None = None
) -> tuple[ApiToken, str]:
    """Make an API token.

    Args:
        owner: For whom it will act.
        name: What it is for; may be empty.
        scopes: What it may be used for, of `Scope`; at least one.
        days: How long it is valid.
        made_with: The token that asks for it; None for a person. The new one ends with it at the latest.

    Returns:
        Its row, and the token itself, which is kept nowhere.

    Raises:
        ServiceError: the account is closed or has too many tokens.
        TokenTooNarrowError: the token that asks has not all of `scopes`.
    """
    if not owner.is_active:
        raise ServiceError(_("The account of %(user)s is closed.") % {"user": owner.username})
    if ApiToken.objects.owned_by(owner).count() >= MOST_TOKENS:
        raise ServiceError(_("There are %(most)d tokens already: remove one first.") % {"most": MOST_TOKENS})
    lifetime = timedelta(days=days)
    if made_with is not None:
        require_breadth(made_with, scopes)
        if made_with.expiry is not None:
            lifetime = min(lifetime, made_with.expiry - timezone.now())
    chosen = " ".join(scope for scope in Scope.values if scope in scopes)
    row, token = ApiToken.objects.create(user=owner, expiry=lifetime, name=name, scopes=chosen, made_with=made_with)
    return row, str(token)


def require_breadth(token: ApiToken, scopes: Collection[str]) -> None:
    """Make sure that `token` may do all that `scopes` name.

    Raises:
        TokenTooNarrowError: it may not.
    """
    lacking = [scope for scope in Scope.values if scope in scopes and scope not in token.scope_list]
    if lacking:
        message = _("This token lacks the scope “%(scope)s”, so it can neither give it nor take it away.")
        raise TokenTooNarrowError(message % {"scope": lacking[0]})


def revoke_token(token: ApiToken, *, by: ApiToken | None = None) -> None:
    """Remove a token and those made with it: they are refused from now on.

    Args:
        token: What goes.
        by: The token that asks for it; None for a person.

    Raises:
        TokenTooNarrowError: `by` may do less than `token`.
    """
    if by is not None:
        require_breadth(by, token.scope_list)
    token.delete()


def default_days() -> int:
    """Return for how many days a token is valid when nobody says."""
    lifetime: timedelta = settings.REST_KNOX["TOKEN_TTL"]
    return lifetime.days

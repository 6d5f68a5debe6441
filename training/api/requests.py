"""What views read from a request: who asks, and the body as a serializer checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.http import QueryDict
from rest_framework.request import Request

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


def asker(request: Request) -> User:
    """Return who asks; signed in, or the view would not have been reached."""
    return cast("User", request.user)


def checked_body(serializer: type[Any], request: Request) -> dict[str, Any]:
    """Return the body's values as `serializer` checks them.

    Raises:
        ValidationError: some are refused.
    """
    sent = request.data.dict() if isinstance(request.data, QueryDict) else request.data
    checked = serializer(data=sent)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)

"""Shapes of the requests and answers about API tokens."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from cifarsite.accounts.models import ApiToken
from training.api.lists import page_serializer
from training.api.strict import StrictSerializer
from training.choices import Scope

_TOKEN_EXAMPLE: Final[dict[str, Any]] = {
    "id": "3f9a0c81d2e47b6",
    "name": "camera",
    "scopes": ["predict"],
    "created": "2026-03-01T12:00:00Z",
    "last_used": None,
    "expires": "2026-05-30T12:00:00Z",
    "expired": False,
}
_SECRET_EXAMPLE: Final = "3f9a0c81d2e47b6" + "0" * 49


class TokenRequestSerializer(StrictSerializer):
    """A token to make."""

    name = serializers.CharField(default="", allow_blank=True, max_length=100, help_text="What it is for.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        allow_empty=False,
        max_length=len(Scope),
        help_text="What it may be used for, within what you may do.",
    )
    days = serializers.IntegerField(
        min_value=1,
        max_value=settings.TOKEN_MAX_DAYS,
        required=False,
        help_text="How long it is valid; without it as long as the site is set to, 90 days by default.",
    )


@extend_schema_serializer(examples=[OpenApiExample("A token", value=_TOKEN_EXAMPLE, response_only=True)])
class TokenSerializer(serializers.Serializer[Any]):
    """An API token, without the token itself."""

    id = serializers.CharField(help_text="Its first 15 characters.")
    name = serializers.CharField(allow_blank=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created = serializers.DateTimeField()
    last_used = serializers.DateTimeField(allow_null=True, help_text="To the minute; null before the first time.")
    expires = serializers.DateTimeField(allow_null=True)
    expired = serializers.BooleanField()


TokenPageSerializer = page_serializer("TokenPage", TokenSerializer)


@extend_schema_serializer(
    examples=[OpenApiExample("Made", value={**_TOKEN_EXAMPLE, "token": _SECRET_EXAMPLE}, response_only=True)]
)
class MadeTokenSerializer(TokenSerializer):
    """An API token that was just made."""

    token = serializers.CharField(
        allow_null=True,
        help_text="The token itself, this once. It is kept nowhere: null in an answer that is given again.",
    )


def token_body(token: ApiToken) -> dict[str, Any]:
    """Return `TokenSerializer`'s shape."""
    return {
        "id": token.token_key,
        "name": token.name,
        "scopes": [scope.value for scope in token.scope_list],
        "created": token.created,
        "last_used": token.last_used_at,
        "expires": token.expiry,
        "expired": token.is_expired,
    }

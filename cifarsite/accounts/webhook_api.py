"""The API of one's own webhook. Each view is a few lines around a service."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cifarsite.accounts.models import Fault, User
from cifarsite.accounts.proof import require_proof
from cifarsite.accounts.webhook_settings import describe_webhook, remove_webhook, set_webhook, webhook_body
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.choices import Scope

_JSON: Final = "application/json"
_REFUSALS: Final = {401: "No valid token and no session.", 403: "A session without its CSRF token."}
_UNPROVEN: Final = {**_REFUSALS, 403: "A session without its CSRF token or a recent proof of its owner."}
_NONE: Final = {404: "You have no webhook."}


class WebhookRequestSerializer(StrictSerializer):
    """A webhook to set."""

    url = serializers.URLField(max_length=500, help_text="Where notifications are posted; no private network.")


class WebhookDeliverySerializer(serializers.Serializer[Any]):
    """What was posted last, or was tried to be."""

    id = serializers.IntegerField(help_text="As in the header `Cifarsite-Delivery`.")
    notification = serializers.IntegerField()
    attempted_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    status_code = serializers.IntegerField(allow_null=True, help_text="Of the last answer; null without one.")
    fault = serializers.ChoiceField(choices=Fault.choices, allow_null=True, help_text="Null when it was delivered.")
    detail = serializers.CharField(allow_null=True, help_text="The fault as a sentence.")
    attempts = serializers.IntegerField()
    most_attempts = serializers.IntegerField(help_text="After as many it is given up.")
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="Null when no further one is made.")


class WebhookSerializer(serializers.Serializer[Any]):
    """Your webhook, without its secret."""

    url = serializers.URLField()
    set_at = serializers.DateTimeField()
    last_delivery = WebhookDeliverySerializer(allow_null=True)


class SetWebhookSerializer(WebhookSerializer):
    """A webhook that was just set."""

    secret = serializers.CharField(help_text="Signs what is posted, as `Cifarsite-Signature` tells; shown this once.")


class WebhookView(APIView):
    """The webhook of whoever asks."""

    scope = Scope.ACCOUNT
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="get_webhook",
        tags=["Account"],
        summary="Describe your webhook",
        description="With what became of what was posted last.",
        responses={(200, _JSON): WebhookSerializer, **problem_responses(descriptions={**_REFUSALS, **_NONE})},
    )
    def get(self, request: Request) -> Response:
        """Describe it."""
        return Response(_body(asker(request)))

    @extend_schema(
        operation_id="set_webhook",
        tags=["Account"],
        summary="Set your webhook",
        description="Each time with a new secret; the one before is void.",
        request=WebhookRequestSerializer,
        responses={
            (200, _JSON): SetWebhookSerializer,
            **problem_responses(descriptions={400: "An address to which nothing is posted.", **_UNPROVEN}),
        },
    )
    def put(self, request: Request) -> Response:
        """Set it, and show the secret this once."""
        require_proof(request)
        sent = checked_body(WebhookRequestSerializer, request)
        secret = set_webhook(user=asker(request), url=sent["url"])
        return Response({**_body(asker(request)), "secret": secret}, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="remove_webhook",
        tags=["Account"],
        summary="Remove your webhook",
        responses={204: None, **problem_responses(descriptions={**_UNPROVEN, **_NONE})},
    )
    def delete(self, request: Request) -> Response:
        """Remove it."""
        require_proof(request)
        if not remove_webhook(user=asker(request)):
            raise Http404
        return Response(status=204)


def _body(user: User) -> dict[str, Any]:
    """Describe a person's webhook.

    Raises:
        Http404: there is none.
    """
    state = describe_webhook(user)
    if state is None:
        raise Http404
    return webhook_body(state)

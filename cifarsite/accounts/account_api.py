"""The API of one's own account: what one prefers, and one's data. Each view is a few lines around a service."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.conf import settings
from django.http import StreamingHttpResponse
from django.utils import translation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cifarsite.accounts.models import User
from cifarsite.accounts.personal_data import write_archive
from cifarsite.accounts.preferences import change_preferences, time_zones
from cifarsite.accounts.proof import require_proof
from training.api.files import renderers_of, send_stream
from training.api.requests import asker, checked_body
from training.api.scopes import ANY_TOKEN
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.choices import Scope

_JSON: Final = "application/json"
_ZIP: Final = "application/zip"
_REFUSALS: Final = {401: "No valid token and no session.", 403: "A session without its CSRF token."}


class PreferencesSerializer(StrictSerializer):
    """What may be changed; what is left out stays."""

    language = serializers.ChoiceField(
        choices=settings.LANGUAGES, required=False, allow_null=True, help_text="Null: the browser's."
    )
    time_zone = serializers.CharField(
        required=False, allow_null=True, max_length=63, help_text="Such as Europe/Paris; null: the browser's."
    )
    wants_mail = serializers.BooleanField(required=False, help_text="Whether the end of a job is told by e-mail.")

    def validate_time_zone(self, name: str | None) -> str | None:
        """Make sure that there is one of that name.

        Raises:
            ValidationError: there is none.
        """
        if name is not None and name not in time_zones():
            raise serializers.ValidationError(translation.gettext("There is no time zone of that name."))
        return name


class AccountSerializer(serializers.Serializer[Any]):
    """Who one is, and what one prefers."""

    username = serializers.CharField()
    groups = serializers.ListField(child=serializers.CharField())
    joined = serializers.DateTimeField()
    language = serializers.CharField(allow_null=True)
    time_zone = serializers.CharField(allow_null=True)
    wants_mail = serializers.BooleanField()
    unread_notifications = serializers.IntegerField()


class AccountView(APIView):
    """The account of whoever asks; any token may ask whose it is."""

    scope: ClassVar[dict[str, str]] = {"GET": ANY_TOKEN, "PATCH": Scope.ACCOUNT}
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="get_account",
        tags=["Account"],
        summary="Describe your account",
        responses={(200, _JSON): AccountSerializer, **problem_responses(descriptions=_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """Describe it."""
        return Response(_account_body(asker(request)))

    @extend_schema(
        operation_id="change_account",
        tags=["Account"],
        summary="Change your preferences",
        request=PreferencesSerializer,
        responses={
            (200, _JSON): AccountSerializer,
            **problem_responses(
                descriptions={400: "A value that is refused.", **_REFUSALS, 409: "No confirmed address for mails."}
            ),
        },
    )
    def patch(self, request: Request) -> Response:
        """Change what is sent."""
        user, sent = asker(request), checked_body(PreferencesSerializer, request)
        change_preferences(
            user=user,
            language=sent.get("language", user.language) or "",
            time_zone=sent.get("time_zone", user.time_zone) or "",
            wants_mail=sent.get("wants_mail", user.wants_mail),
        )
        return Response(_account_body(user))


class AccountDataView(APIView):
    """Everything that the site keeps of whoever asks."""

    scope = Scope.ACCOUNT
    permission_classes = (IsAuthenticated,)
    renderer_classes = renderers_of(_ZIP)

    @extend_schema(
        operation_id="download_account_data",
        tags=["Account"],
        summary="Download your data",
        description=(
            "A ZIP archive with your history, pictures, batches, runs, and the names of your tokens. A session has to "
            "have proven its owner lately."
        ),
        responses={
            (200, _ZIP): OpenApiTypes.BINARY,
            **problem_responses(descriptions={**_REFUSALS, 403: "A session without a recent proof of its owner."}),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send it."""
        require_proof(request)
        owner = asker(request)
        parts = write_archive(owner, language=translation.get_language())
        return send_stream(parts, content_type=_ZIP, name=f"cifarsite-{owner.pk}.zip")


def _account_body(user: User) -> dict[str, Any]:
    return {
        "username": user.username,
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "joined": user.date_joined,
        "language": user.language or None,
        "time_zone": user.time_zone or None,
        "wants_mail": user.wants_mail,
        "unread_notifications": user.unread_notifications,
    }

"""The API of one's own notifications. Each view is a few lines around a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cifarsite.accounts.models import Notification, User
from cifarsite.accounts.notifications import describe, mark_read
from cifarsite.accounts.webhooks import notice_body
from training.api.lists import ListQuerySerializer, checked_query, page_of, page_serializer
from training.api.requests import asker
from training.api.serializers import problem_responses
from training.choices import TERMINAL_STATUSES, Reason, Scope

_JSON: Final = "application/json"
_REFUSALS: Final = {401: "No valid token and no session.", 403: "A session without its CSRF token."}


class NotificationQuerySerializer(ListQuerySerializer):
    """What the list takes in its address."""

    unread = serializers.BooleanField(required=False, help_text="Only those that were not read yet.")


class EndedJobSerializer(serializers.Serializer[Any]):
    """The job that ended."""

    kind = serializers.CharField(help_text="`trainingrun`, `datasetimport`, `evaluation` or `batchjob`.")
    id = serializers.IntegerField()
    name = serializers.CharField()


class NotificationSerializer(serializers.Serializer[Any]):
    """How a job of yours ended. Webhooks are sent the same."""

    id = serializers.IntegerField()
    job = EndedJobSerializer()
    status = serializers.ChoiceField(choices=[status.value for status in TERMINAL_STATUSES])
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True)
    at = serializers.DateTimeField()
    read = serializers.BooleanField()
    address = serializers.CharField(allow_null=True, help_text="The job's page; null when the job is gone.")


class MarkedSerializer(serializers.Serializer[Any]):
    """What became of it."""

    marked = serializers.IntegerField(help_text="How many were unread until now.")
    unread = serializers.IntegerField(help_text="How many still are.")


NotificationPageSerializer = page_serializer("NotificationPageSerializer", NotificationSerializer)


class _OwnNotificationsView(APIView):
    """A view of the notifications of whoever asks."""

    scope = Scope.ACCOUNT
    permission_classes = (IsAuthenticated,)


class NotificationsView(_OwnNotificationsView):
    """All of one's notifications."""

    @extend_schema(
        operation_id="list_notifications",
        tags=["Account"],
        summary="List your notifications",
        parameters=[NotificationQuerySerializer],
        responses={
            (200, _JSON): NotificationPageSerializer,
            **problem_responses(
                descriptions={400: "A parameter that is unknown or wrong.", **_REFUSALS, 404: "A wrong cursor."}
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        query = checked_query(NotificationQuerySerializer, request)
        rows = Notification.objects.owned_by(asker(request))
        return page_of(
            rows.unread() if query.get("unread") else rows, request=request, view=self, describe=_describe_page
        )


class NotificationsReadView(_OwnNotificationsView):
    """Marks all of one's notifications."""

    @extend_schema(
        operation_id="read_notifications",
        tags=["Account"],
        summary="Mark all notifications as read",
        request=None,
        responses={(200, _JSON): MarkedSerializer, **problem_responses(descriptions=_REFUSALS)},
    )
    def post(self, request: Request) -> Response:
        """Mark them."""
        return _answer(asker(request))


class NotificationReadView(_OwnNotificationsView):
    """Marks one of one's notifications."""

    @extend_schema(
        operation_id="read_notification",
        tags=["Account"],
        summary="Mark a notification as read",
        request=None,
        responses={
            (200, _JSON): MarkedSerializer,
            **problem_responses(descriptions={**_REFUSALS, 404: "You have no such notification."}),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Mark it."""
        owner = asker(request)
        get_object_or_404(Notification.objects.owned_by(owner).filter(pk=pk))
        return _answer(owner, pk=pk)


def _answer(owner: User, *, pk: int | None = None) -> Response:
    marked = mark_read(owner=owner, pk=pk)
    return Response({"marked": marked, "unread": owner.unread_notifications})


def _describe_page(rows: Sequence[Notification]) -> list[dict[str, Any]]:
    return [notice_body(notice) for notice in describe(rows)]

"""The API of workers and queues as they are at this moment, for whoever watches the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from training.api.serializers import WatchSerializer, problem_responses
from training.services.watching import may_watch, report_site

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class MayWatch(IsAuthenticated):
    """Staff and operators."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether who asks may watch."""
        return super().has_permission(request, view) and may_watch(cast("User", request.user))


class WorkersView(APIView):
    """Workers and queues."""

    scope = "operate"
    permission_classes = (MayWatch,)

    @extend_schema(
        operation_id="workers",
        tags=["Site"],
        summary="See workers and queues",
        description="For staff and operators: who does the work, on what, and what waits for it.",
        responses={
            (200, "application/json"): WatchSerializer,
            **problem_responses(
                descriptions={401: "No valid token and no session.", 403: "Neither staff nor an operator."}
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """Tell how everything is at this moment."""
        return Response(WatchSerializer(report_site()).data)

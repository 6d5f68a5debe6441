"""The API of the end of several training runs at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from training.api.fields import NumbersField
from training.api.guarded import JSON, REFUSALS, GuardedView
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.services import MOST_CANCELLED, cancel_runs


class CancellationRequestSerializer(StrictSerializer):
    """Which runs shall end."""

    runs = NumbersField(most=MOST_CANCELLED)


class CancellationsSerializer(serializers.Serializer[Any]):
    """What became of the runs; each is in one list."""

    cancelled = serializers.ListField(child=serializers.IntegerField(), help_text="Were asked to end.")
    ended = serializers.ListField(child=serializers.IntegerField(), help_text="Had ended already.")
    refused = serializers.ListField(child=serializers.IntegerField(), help_text="Are somebody else's.")
    missing = serializers.ListField(child=serializers.IntegerField(), help_text="Are not there.")


class RunsCancelView(GuardedView):
    """The end of several runs."""

    scope = "train"
    needed = {"POST": "training.view_trainingrun"}

    @extend_schema(
        operation_id="cancel_runs",
        tags=["Runs"],
        summary="Cancel several runs",
        description="One that cannot be cancelled does not keep the others.",
        request=CancellationRequestSerializer,
        responses={
            (200, JSON): CancellationsSerializer,
            **problem_responses(descriptions={400: "None, too many, or no numbers.", **REFUSALS}),
        },
    )
    def post(self, request: Request) -> Response:
        """Ask for their end."""
        numbers = checked_body(CancellationRequestSerializer, request)["runs"]
        return Response(asdict(cancel_runs(numbers=numbers, by=asker(request))))

"""The API of several batches at once: their end, or that they go."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.batches.several import MOST_BATCHES, cancel_batches, delete_batches
from training.api.fields import NumbersField
from training.api.guarded import JSON
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer

_REFUSALS: Final = {
    400: "None, too many, or no numbers.",
    401: "No valid token and no session.",
    403: "A session without its CSRF token, or a token without the scope.",
}


class BatchesRequestSerializer(StrictSerializer):
    """Which batches are meant."""

    batches = NumbersField(most=MOST_BATCHES)


class BatchCancellationsSerializer(serializers.Serializer[Any]):
    """What became of the batches; each is in one list."""

    cancelled = serializers.ListField(child=serializers.IntegerField(), help_text="Were asked to end.")
    ended = serializers.ListField(child=serializers.IntegerField(), help_text="Had ended already.")
    missing = serializers.ListField(child=serializers.IntegerField(), help_text="You have no such batch.")


class BatchDeletionsSerializer(serializers.Serializer[Any]):
    """What became of the batches; each is in one list."""

    deleted = serializers.ListField(child=serializers.IntegerField(), help_text="Are gone, with their answers.")
    active = serializers.ListField(child=serializers.IntegerField(), help_text="Have not ended: cancel them first.")
    missing = serializers.ListField(child=serializers.IntegerField(), help_text="You have no such batch.")


class BatchesCancelView(APIView):
    """The end of several batches."""

    scope = "predict"
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="cancel_batches",
        tags=["Batches"],
        summary="Cancel several batches",
        description="What was answered stays. One that has ended does not keep the others.",
        request=BatchesRequestSerializer,
        responses={(200, JSON): BatchCancellationsSerializer, **problem_responses(descriptions=_REFUSALS)},
    )
    def post(self, request: Request) -> Response:
        """Ask for their end."""
        numbers = checked_body(BatchesRequestSerializer, request)["batches"]
        outcome = cancel_batches(owner=asker(request), numbers=numbers)
        return Response({"cancelled": outcome.cancelled, "ended": outcome.ended, "missing": outcome.missing})


class BatchesDeleteView(APIView):
    """The deletion of several batches."""

    scope = "predict"
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="delete_batches",
        tags=["Batches"],
        summary="Delete several batches that have ended",
        description="They go for good, with archives and answers. One that has not ended does not keep the others.",
        request=BatchesRequestSerializer,
        responses={(200, JSON): BatchDeletionsSerializer, **problem_responses(descriptions=_REFUSALS)},
    )
    def post(self, request: Request) -> Response:
        """Delete them."""
        numbers = checked_body(BatchesRequestSerializer, request)["batches"]
        return Response(asdict(delete_batches(owner=asker(request), numbers=numbers)))

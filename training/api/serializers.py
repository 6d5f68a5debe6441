"""Shapes that every part of the API shares, for its documentation."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers


class FaultSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    location = serializers.CharField(help_text="The field, header or part of the site.")
    code = serializers.CharField(help_text="The kind, for programs.")
    detail = serializers.CharField(help_text="One sentence, for people.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Not an image",
            value={
                "type": "about:blank",
                "title": "Unsupported Media Type",
                "status": 415,
                "detail": "This is not a JPEG, PNG, WEBP, GIF or BMP image.",
                "instance": "/api/v1/predict",
                "errors": [
                    {
                        "location": "file",
                        "code": "not_an_image",
                        "detail": "This is not a JPEG, PNG, WEBP, GIF or BMP image.",
                    }
                ],
            },
            response_only=True,
        )
    ]
)
class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was refused, as RFC 9457 has it."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    errors = FaultSerializer(many=True)  # type: ignore[assignment]  # a field named as the base class's property


class CurrentJobSerializer(serializers.Serializer[Any]):
    """A job that a worker works on."""

    kind = serializers.CharField(help_text="`trainingrun`, `datasetimport`, …")
    id = serializers.IntegerField()
    name = serializers.CharField()
    percent = serializers.IntegerField(help_text="Share done, 0 to 100.")


class GpuSerializer(serializers.Serializer[Any]):
    """A GPU as nvidia-smi tells."""

    name = serializers.CharField()
    used_bytes = serializers.IntegerField(allow_null=True)
    total_bytes = serializers.IntegerField(allow_null=True)


class WorkerSerializer(serializers.Serializer[Any]):
    """A worker as its last heartbeat tells."""

    name = serializers.CharField()
    host = serializers.CharField()
    device = serializers.CharField(help_text="The GPUs' names, or `CPU`.")
    queues = serializers.ListField(child=serializers.CharField())
    memory_used_bytes = serializers.IntegerField(allow_null=True)
    memory_total_bytes = serializers.IntegerField(allow_null=True, help_text="Of the machine, or of its control group.")
    gpus = GpuSerializer(many=True)
    started_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    heartbeat_age_seconds = serializers.FloatField()
    is_stale = serializers.BooleanField(help_text="Not heard of for more than 30 s.")
    jobs = CurrentJobSerializer(many=True)


class CanarySerializer(serializers.Serializer[Any]):
    """The newest canary that came through a queue; both are null when none has yet."""

    age_seconds = serializers.FloatField(allow_null=True)
    round_trip_seconds = serializers.FloatField(allow_null=True)


class QueueSerializer(serializers.Serializer[Any]):
    """A queue."""

    name = serializers.CharField()
    waiting = serializers.IntegerField(help_text="Queued jobs.")
    oldest_seconds = serializers.FloatField(allow_null=True, help_text="How long the longest of them has waited.")
    messages = serializers.IntegerField(allow_null=True, help_text="Null when the broker does not answer.")
    is_paused = serializers.BooleanField()
    canary = CanarySerializer(allow_null=True, help_text="Null for a queue through which none is sent.")


class WatchSerializer(serializers.Serializer[Any]):
    """Who does the work and what waits for it."""

    workers = WorkerSerializer(many=True)
    queues = QueueSerializer(many=True)


PROBLEM_MEDIA_TYPE = "application/problem+json"


def problem_responses(*, descriptions: dict[int, str]) -> dict[tuple[int, str], OpenApiResponse]:
    """Document refusals: status → what brings it about."""
    return {
        (status, PROBLEM_MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description=description)
        for status, description in descriptions.items()
    }

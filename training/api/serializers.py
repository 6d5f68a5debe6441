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


PROBLEM_MEDIA_TYPE = "application/problem+json"


def problem_responses(*, descriptions: dict[int, str]) -> dict[tuple[int, str], OpenApiResponse]:
    """Document refusals: status → what brings it about."""
    return {
        (status, PROBLEM_MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description=description)
        for status, description in descriptions.items()
    }

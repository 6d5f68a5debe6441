"""The API about the model that answers: its classes, its details. Each view is a few lines around a service."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.naming import LANGUAGE, NO_MODEL, NamingView
from classifier.api.serializers import ClassesSerializer, ModelInfoSerializer
from classifier.inference import predictor
from training.api.serializers import problem_responses
from training.class_names import display_name


class ClassesView(NamingView):
    """The classes that the answering model knows."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="classes",
        tags=["Model"],
        summary="List the classes",
        parameters=[LANGUAGE],
        auth=[],
        responses={
            (200, "application/json"): ClassesSerializer,
            **problem_responses(descriptions={400: "`lang` is no language that is spoken here.", 503: NO_MODEL}),
        },
    )
    def get(self, request: Request) -> Response:
        """List them by number."""
        keys = predictor().package.class_keys
        return Response(
            {"num_classes": len(keys), "classes": {str(i): display_name(key) for i, key in enumerate(keys)}}
        )


class ModelInfoView(APIView):
    """The model that answers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="model_info",
        tags=["Model"],
        summary="Describe the model",
        auth=[],
        responses={(200, "application/json"): ModelInfoSerializer, **problem_responses(descriptions={503: NO_MODEL})},
    )
    def get(self, request: Request) -> Response:
        """Describe it."""
        manifest = predictor().package.raw
        channels, height, width = manifest["input_size"]
        return Response(
            {
                "model_name": manifest["architecture"]["name"],
                "num_classes": len(manifest["class_keys"]),
                "input_size": f"{height}x{width}x{channels}",
                "total_parameters": manifest["parameters"]["total"],
                "trainable_parameters": manifest["parameters"]["trainable"],
                "device": "cpu",
            }
        )

"""The API of how a model saw a picture: its 32×32 pixels, and where it looked. For the picture's owner alone."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.activation import ActivationMap
from classifier.activation_maps import draw_activation_map, make_activation_map, seen_pixels
from classifier.api.naming import LANGUAGE, NamingView
from classifier.drawings import draw_pixels
from classifier.history import find_prediction
from classifier.models import Prediction
from classifier.sending import send_drawing
from training.api.files import renderers_of
from training.api.guarded import JSON
from training.api.lists import LARGEST_KEY, checked_query
from training.api.requests import asker
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.class_names import display_name

_PNG: Final = "image/png"
_REFUSALS: Final = {401: "No valid token and no session."}
_NO_PIXELS: Final = "One has no prediction of that number, or it is older than the keeping of what the model saw."
_NO_MAP: Final = f"{_NO_PIXELS[:-1]}, or there is no exact map of its model (`no_map`)."


class MapQuerySerializer(StrictSerializer):
    """Which class's map is drawn."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Give the field a name that is a word of the language."""
        return {
            "class": serializers.CharField(
                required=False, max_length=63, help_text="Key of a class; that of the answer where none is given."
            )
        }


class ClassFieldsSerializer(serializers.Serializer[Any]):
    """What the fields add to one class's score."""

    class_id = serializers.IntegerField()
    class_key = serializers.CharField()
    class_name = serializers.CharField()
    logit = serializers.FloatField(help_text="As the network gives it, not divided by the calibration temperature.")
    amounts = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="What each field adds: rows from above, each from the left. With the bias they make the logit.",
    )


class ActivationMapSerializer(serializers.Serializer[Any]):
    """Where a model looked."""

    model_version = serializers.CharField()
    rows = serializers.ListField(
        child=serializers.FloatField(), help_text="Middles of the fields, in pixels of 32 from the upper edge."
    )
    columns = serializers.ListField(child=serializers.FloatField(), help_text="The same from the left edge.")
    classes = ClassFieldsSerializer(many=True)


class PredictionSeenView(APIView):
    """The pixels that a model saw."""

    scope = "predict"
    renderer_classes = renderers_of(_PNG)

    @extend_schema(
        operation_id="get_prediction_seen",
        tags=["History"],
        summary="See what the model saw",
        description="A PNG of exactly the 32×32 pixels that went into the model.",
        responses={
            (200, _PNG): OpenApiTypes.BINARY,
            **problem_responses(descriptions={**_REFUSALS, 404: _NO_PIXELS}),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Send them, or 304 when `If-None-Match` has their `ETag`."""
        pixels = seen_pixels(find_own(request, pk))
        if pixels is None:
            raise Http404
        return send_drawing(request._request, name=f"prediction-{pk}-seen", data=draw_pixels(pixels))


class ActivationMapView(NamingView):
    """Where a model looked, in numbers."""

    scope = "predict"

    @extend_schema(
        operation_id="get_activation_map",
        tags=["History"],
        summary="Say where the model looked",
        description=(
            "How much each field of the network's last feature map adds to the score of each class (Zhou et al. 2016; "
            "Oquab et al. 2015 where the largest value of a channel counts). Each field sees more of the picture than "
            "the place it stands for. The map is of the picture as it is, not of its mirror image."
        ),
        parameters=[LANGUAGE],
        responses={
            (200, JSON): ActivationMapSerializer,
            **problem_responses(descriptions={400: "A language that is not spoken here.", **_REFUSALS, 404: _NO_MAP}),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """Say it."""
        prediction = find_own(request, pk)
        return Response(_map_body(prediction, make_activation_map(prediction)))


class ActivationMapDrawingView(APIView):
    """Where a model looked, as a picture."""

    scope = "predict"
    renderer_classes = renderers_of(_PNG)

    @extend_schema(
        operation_id="get_activation_map_drawing",
        tags=["History"],
        summary="See where the model looked",
        description="A PNG: orange adds to the score of the class, blue takes from it.",
        parameters=[MapQuerySerializer],
        responses={
            (200, _PNG): OpenApiTypes.BINARY,
            **problem_responses(
                descriptions={
                    400: "A parameter that does not exist here.",
                    **_REFUSALS,
                    404: f"{_NO_MAP} Or its model knows no such class.",
                }
            ),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Send it, or 304 when `If-None-Match` has its `ETag`."""
        class_key = checked_query(MapQuerySerializer, request).get("class")
        prediction = find_own(request, pk)
        wanted = prediction.class_key if class_key is None else class_key
        data = draw_activation_map(prediction, class_key=wanted)
        return send_drawing(request._request, name=f"prediction-{pk}-map", data=data)


def find_own(request: Request, pk: int) -> Prediction:
    """Return one of the asker's predictions, or raise 404."""
    found = find_prediction(owner=asker(request), pk=pk) if pk <= LARGEST_KEY else None
    if found is None:
        raise Http404
    return found


def _map_body(prediction: Prediction, found: ActivationMap) -> dict[str, Any]:
    return {
        "model_version": str(prediction.model_version),
        "rows": found.rows,
        "columns": found.columns,
        "classes": [
            {
                "class_id": number,
                "class_key": key,
                "class_name": display_name(key),
                "logit": float(found.logits[number]),
                "amounts": found.fields_of(key).tolist(),
            }
            for number, key in enumerate(found.class_keys)
        ],
    }

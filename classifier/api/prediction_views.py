"""The API of one's own history. Each view is a few lines around a service; other people's predictions do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.naming import LANGUAGE, NamingView
from classifier.api.prediction_serializers import (
    DeletedSerializer,
    DeletionSerializer,
    LabelSerializer,
    PredictionPageSerializer,
    PredictionQuerySerializer,
    PredictionSerializer,
    prediction_bodies,
    read_wanted,
)
from classifier.history import delete_predictions, delete_wanted, find_predictions, read_predictions
from classifier.models import Prediction
from classifier.sending import send_thumbnail
from classifier.services import set_label
from training.api.files import renderers_of
from training.api.guarded import JSON, LIST_REFUSALS
from training.api.lists import LARGEST_KEY, checked_query, page_of
from training.api.requests import asker, checked_body
from training.api.serializers import problem_responses
from training.exceptions import ServiceError

_REFUSALS: Final = {401: "No valid token and no session."}
_LANGUAGE: Final = {400: "A language that is not spoken here."}
_WRITE_REFUSALS: Final = {**_REFUSALS, 403: "A session without its CSRF token."}
_ABSENT: Final = {404: "One has no prediction of that number."}


class PredictionsView(NamingView):
    """One's history."""

    scope = "predict"

    @extend_schema(
        operation_id="list_predictions",
        tags=["History"],
        summary="List one's predictions",
        parameters=[PredictionQuerySerializer],
        responses={(200, JSON): PredictionPageSerializer, **problem_responses(descriptions=LIST_REFUSALS)},
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first."""
        wanted = read_wanted(checked_query(PredictionQuerySerializer, request))
        owner = asker(request)

        def describe(page: Sequence[Prediction]) -> list[dict[str, Any]]:
            return prediction_bodies(read_predictions(owner=owner, keys=[row.pk for row in page]), request)

        return page_of(find_predictions(owner=owner, wanted=wanted), request=request, view=self, describe=describe)


class PredictionView(NamingView):
    """One prediction."""

    scope = "predict"

    @extend_schema(
        operation_id="get_prediction",
        tags=["History"],
        summary="Describe a prediction",
        parameters=[LANGUAGE],
        responses={
            (200, JSON): PredictionSerializer,
            **problem_responses(descriptions={**_LANGUAGE, **_REFUSALS, **_ABSENT}),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """Describe it."""
        return Response(_describe(request, pk))

    @extend_schema(
        operation_id="delete_prediction",
        tags=["History"],
        summary="Delete a prediction",
        description="It goes for good, with its picture and the original file, if that was kept.",
        parameters=[LANGUAGE],
        responses={204: None, **problem_responses(descriptions={**_LANGUAGE, **_WRITE_REFUSALS, **_ABSENT})},
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Delete it."""
        if not delete_predictions(owner=asker(request), keys=[_valid(pk)]):
            raise Http404
        return Response(status=204)


class PredictionDeletionView(APIView):
    """Many predictions at once."""

    scope = "predict"
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="delete_predictions",
        tags=["History"],
        summary="Delete several predictions",
        description="They go for good, with their pictures. Numbers of other people's predictions find nothing.",
        request=DeletionSerializer,
        responses={
            (200, JSON): DeletedSerializer,
            **problem_responses(descriptions={400: "Neither numbers nor a filter, or wrong ones.", **_WRITE_REFUSALS}),
        },
    )
    def post(self, request: Request) -> Response:
        """Delete them."""
        chosen = checked_body(DeletionSerializer, request)
        if "ids" in chosen:
            deleted, more = delete_predictions(owner=asker(request), keys=chosen["ids"]), False
        else:
            deleted, more = delete_wanted(owner=asker(request), wanted=read_wanted(chosen["filter"]))
        return Response({"deleted": deleted, "more": more})


class PredictionLabelView(NamingView):
    """What one says a picture shows."""

    scope = "predict"
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="set_prediction_label",
        tags=["History"],
        summary="Say what a picture shows",
        parameters=[LANGUAGE],
        request=LabelSerializer,
        responses={
            (200, JSON): PredictionSerializer,
            **problem_responses(
                descriptions={400: "A class that the model does not know.", **_WRITE_REFUSALS, **_ABSENT}
            ),
        },
    )
    def put(self, request: Request, pk: int) -> Response:
        """Note it."""
        found = _find(request, pk)
        try:
            set_label(prediction=found, label_key=checked_body(LabelSerializer, request)["label"])
        except ServiceError as error:
            raise ValidationError({"label": [str(error)]}, code="invalid_choice") from error
        except Prediction.DoesNotExist as error:
            raise Http404 from error
        return Response(_describe(request, pk))


class PredictionThumbnailView(APIView):
    """The small copy of a picture."""

    scope = "predict"
    renderer_classes = renderers_of("image/jpeg")

    @extend_schema(
        operation_id="get_prediction_thumbnail",
        tags=["History"],
        summary="See a picture",
        description="Its thumbnail: at most 128 pixels wide and high, without what a camera noted.",
        responses={
            (200, "image/jpeg"): OpenApiTypes.BINARY,
            **problem_responses(descriptions={**_REFUSALS, **_ABSENT}),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Send the thumbnail, or 304 when `If-None-Match` has its `ETag`."""
        own = Prediction.objects.owned_by(asker(request)).filter(pk=_valid(pk))
        data = own.values_list("thumbnail", flat=True).first()
        if data is None:
            raise Http404
        return send_thumbnail(request._request, pk=pk, data=bytes(data))  # its documented attribute


def _valid(pk: int) -> int:
    """Return `pk`, or raise 404 for a number that no row can have."""
    if pk > LARGEST_KEY:
        raise Http404
    return pk


def _find(request: Request, pk: int) -> Prediction:
    found = read_predictions(owner=asker(request), keys=[_valid(pk)])
    if not found:
        raise Http404
    return found[0]


def _describe(request: Request, pk: int) -> dict[str, Any]:
    return prediction_bodies([_find(request, pk)], request)[0]

"""The API of files that were kept as they came: downloaded and deleted by their owner, and by nobody else."""

from __future__ import annotations

from typing import Final

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.originals import delete_original, find_original
from classifier.sending import send_original
from training.api.files import renderers_of
from training.api.lists import LARGEST_KEY
from training.api.requests import asker
from training.api.serializers import problem_responses

_BYTES: Final = "application/octet-stream"
_REFUSALS: Final = {
    401: "No valid token and no session.",
    404: "One has no prediction of that number, or its file was not kept.",
}


class PredictionOriginalView(APIView):
    """The file of a prediction."""

    scope = "predict"
    renderer_classes = renderers_of(_BYTES)

    @extend_schema(
        operation_id="get_prediction_original",
        tags=["History"],
        summary="Download the original file",
        description=(
            "The file as it came, byte for byte, where it was sent with `keep=1`. It is sent as a download of bytes "
            "that no browser shows; its `ETag` is the file's SHA-256."
        ),
        responses={(200, _BYTES): OpenApiTypes.BINARY, **problem_responses(descriptions=_REFUSALS)},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Send the file, or 304 when `If-None-Match` has its `ETag`."""
        found = find_original(owner=asker(request), pk=pk) if pk <= LARGEST_KEY else None
        if found is None:
            raise Http404
        return send_original(request._request, found)  # its documented attribute

    @extend_schema(
        operation_id="delete_prediction_original",
        tags=["History"],
        summary="Delete the original file",
        description="The file goes for good; the prediction and its thumbnail stay.",
        responses={
            204: None,
            **problem_responses(descriptions={**_REFUSALS, 403: "A session without its CSRF token."}),
        },
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Delete it."""
        if pk > LARGEST_KEY or not delete_original(owner=asker(request), pk=pk):
            raise Http404
        return Response(status=204)

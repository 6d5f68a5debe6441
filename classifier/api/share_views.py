"""The API of shared answers: a link is made, looked at and taken back by the prediction's owner."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from classifier.models import Prediction, Share
from classifier.sharing import find_share, revoke_share, share_prediction
from training.api.guarded import JSON
from training.api.lists import LARGEST_KEY
from training.api.requests import asker
from training.api.serializers import problem_responses

_REFUSALS: Final = {401: "No valid token and no session."}
_WRITE_REFUSALS: Final = {**_REFUSALS, 403: "A session without its CSRF token."}
_ABSENT: Final = {404: "One has no prediction of that number."}
_NOT_SHARED: Final = {404: "One has no prediction of that number, or it is not shared."}


class ShareSerializer(serializers.Serializer[Any]):
    """A link to an answer."""

    url = serializers.URLField(help_text="The page that whoever has the link sees.")
    created_at = serializers.DateTimeField()


class PredictionShareView(APIView):
    """The link to a prediction."""

    scope = "predict"

    @extend_schema(
        operation_id="get_prediction_share",
        tags=["History"],
        summary="Look up the link to a prediction",
        responses={(200, JSON): ShareSerializer, **problem_responses(descriptions={**_REFUSALS, **_NOT_SHARED})},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Look it up."""
        found = find_share(owner=asker(request), pk=_valid(pk))
        if found is None:
            raise Http404
        return Response(_describe(found, request))

    @extend_schema(
        operation_id="share_prediction",
        tags=["History"],
        summary="Share a prediction",
        description=(
            "Makes a link, or returns the one that there is. Whoever has it sees the thumbnail and the answer: neither "
            "the file's name, nor when it was asked, nor by whom."
        ),
        request=None,
        responses={(200, JSON): ShareSerializer, **problem_responses(descriptions={**_WRITE_REFUSALS, **_ABSENT})},
    )
    def put(self, request: Request, pk: int) -> Response:
        """Make it."""
        try:
            made = share_prediction(owner=asker(request), pk=_valid(pk))
        except Prediction.DoesNotExist as error:
            raise Http404 from error
        return Response(_describe(made, request))

    @extend_schema(
        operation_id="revoke_prediction_share",
        tags=["History"],
        summary="Stop sharing a prediction",
        description="The link leads nowhere from now on, for good; sharing again makes another.",
        responses={204: None, **problem_responses(descriptions={**_WRITE_REFUSALS, **_NOT_SHARED})},
    )
    def delete(self, request: Request, pk: int) -> Response:
        """Take it back."""
        if not revoke_share(owner=asker(request), pk=_valid(pk)):
            raise Http404
        return Response(status=204)


def _valid(pk: int) -> int:
    """Return `pk`, or raise 404 for a number that no row can have."""
    if pk > LARGEST_KEY:
        raise Http404
    return pk


def _describe(share: Share, request: Request) -> dict[str, Any]:
    return {"url": reverse("shared", args=[share.token], request=request), "created_at": share.created_at}

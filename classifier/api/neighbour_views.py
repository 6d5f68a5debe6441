"""The API of the training images that a model sees the most alike to one's own picture."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from classifier.api.map_views import find_own
from classifier.api.naming import LANGUAGE, NamingView
from classifier.neighbours import find_neighbours
from training.api.guarded import JSON, REFUSALS
from training.api.requests import asker
from training.api.serializers import problem_responses
from training.class_names import display_name


class NeighbourSerializer(serializers.Serializer[Any]):
    """One training image."""

    index = serializers.IntegerField(help_text="Its place in the dataset's training split, from 0.")
    class_key = serializers.CharField()
    class_name = serializers.CharField()
    similarity = serializers.FloatField(help_text="Cosine of the last layer's features, at most 1.")


class NeighboursSerializer(serializers.Serializer[Any]):
    """The most alike training images, the nearest first."""

    dataset = serializers.CharField()
    is_own = serializers.BooleanField(help_text="Whether the model learned from this dataset.")
    compared = serializers.IntegerField(help_text="How many training images were compared.")
    nearest = NeighbourSerializer(many=True)


class NeighboursView(NamingView):
    """The most alike training images."""

    scope = "predict"

    @extend_schema(
        operation_id="get_prediction_neighbours",
        tags=["History"],
        summary="List the most alike training images",
        description="Where the model that answered was evaluated on a dataset: among 5,000 of its training images.",
        parameters=[LANGUAGE],
        responses={
            (200, JSON): NeighboursSerializer,
            **problem_responses(
                descriptions={
                    400: "A language that is not spoken here.",
                    **REFUSALS,
                    404: "One has no prediction of that number, or there is nothing to compare it with.",
                }
            ),
        },
    )
    def get(self, request: Request, pk: int) -> Response:
        """List them."""
        prediction = find_own(request, pk)
        if not asker(request).has_perm("training.view_dataset"):
            raise PermissionDenied
        found = find_neighbours(prediction)
        if found is None:
            raise Http404
        nearest = [
            {
                "index": each.index,
                "class_key": each.class_key,
                "class_name": display_name(each.class_key),
                "similarity": each.similarity,
            }
            for each in found.nearest
        ]
        body = {"dataset": found.dataset.name, "is_own": found.is_own, "compared": found.compared, "nearest": nearest}
        return Response(body)

"""Shapes of the requests and answers about one's history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.reverse import reverse

from classifier.api.language import PARAMETER
from classifier.api.serializers import ANSWER_EXAMPLE, AnswerSerializer, answer_body
from classifier.choices import Source
from classifier.history import MOST_DELETED, class_keys_of
from classifier.models import Prediction
from classifier.querysets import Wanted
from training.api.fields import VersionNameField
from training.api.lists import LARGEST_KEY, ListQuerySerializer, page_serializer
from training.api.strict import StrictSerializer

_LONGEST_KEY: Final = 63


class FilterSerializer(StrictSerializer):
    """Which predictions are meant; what is left out does not matter."""

    model_version = VersionNameField(required=False, help_text="The version that answered: `v3`.")
    created_from = serializers.DateTimeField(required=False, help_text="The earliest day or moment.")
    created_to = serializers.DateTimeField(required=False, help_text="The day or moment before which it was asked.")
    confidence_min = serializers.FloatField(required=False, min_value=0, max_value=1)
    confidence_max = serializers.FloatField(required=False, min_value=0, max_value=1)
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field named as an attribute of every field
        choices=Source.choices, required=False, help_text="By which way it came."
    )
    label = serializers.CharField(  # type: ignore[assignment]  # the same
        required=False, max_length=_LONGEST_KEY, help_text="Key of the class that one gave."
    )
    labelled = serializers.BooleanField(required=False, help_text="Whether one gave any.")
    right = serializers.BooleanField(required=False, help_text="Whether the class that one gave is the one answered.")
    out_of_distribution = serializers.BooleanField(
        required=False, help_text="Whether the picture may show none of the classes."
    )
    search = serializers.CharField(required=False, max_length=255, help_text="Part of the file's name.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field whose name is a word of the language."""
        answered = serializers.CharField(
            required=False, max_length=_LONGEST_KEY, help_text="Key of the class that was answered."
        )
        return {"class": answered, **super().get_fields()}


class ExportQuerySerializer(FilterSerializer):
    """Which predictions are exported, and in which language classes are named."""

    lang = serializers.ChoiceField(
        choices=settings.LANGUAGES, required=False, help_text="Language of the classes' names."
    )


class PredictionQuerySerializer(ExportQuerySerializer, ListQuerySerializer):
    """Which predictions are listed."""


class DeletionSerializer(StrictSerializer):
    """What to delete: predictions by number, or all that a filter finds."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_KEY),
        required=False,
        allow_empty=False,
        max_length=MOST_DELETED,
        help_text=f"Up to {MOST_DELETED:,} numbers; those of other people's predictions find nothing.",
    )
    filter = FilterSerializer(
        required=False, help_text=f"The newest {MOST_DELETED:,} that fit go; an empty filter fits all."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Make sure that it is one of the two.

        Raises:
            ValidationError: it is none, or both.
        """
        if len(attrs) != 1:
            raise serializers.ValidationError(_("Give either “ids” or “filter”."), code="required")
        return attrs


class DeletedSerializer(serializers.Serializer[Any]):
    """What was deleted."""

    deleted = serializers.IntegerField(help_text="How many predictions went.")
    more = serializers.BooleanField(help_text="Whether the filter still finds some: ask again.")


class LabelSerializer(StrictSerializer):
    """What the picture shows."""

    label = serializers.CharField(  # type: ignore[assignment]  # a field named as an attribute of every field
        allow_blank=True, max_length=_LONGEST_KEY, help_text="Key of a class that the model knows; empty takes it back."
    )


_PREDICTION_EXAMPLE: Final = {
    **ANSWER_EXAMPLE,
    "created_at": "2026-03-01T12:00:00Z",
    "file_name": "plane.jpg",
    "source": "api",
    "width": 640,
    "height": 480,
    "label": None,
    "thumbnail": "http://127.0.0.1:8000/api/v1/predictions/42/thumbnail",
    "original": None,
    "share": None,
}


@extend_schema_serializer(examples=[OpenApiExample("An airplane", value=_PREDICTION_EXAMPLE, response_only=True)])
class PredictionSerializer(AnswerSerializer):
    """An answer in one's history."""

    created_at = serializers.DateTimeField()
    file_name = serializers.CharField(allow_blank=True)
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # the same
    width = serializers.IntegerField(help_text="Pixels of the picture as it came.")
    height = serializers.IntegerField()
    label = serializers.CharField(  # type: ignore[assignment]  # the same
        allow_null=True, help_text="Key of the class that one says it shows."
    )
    thumbnail = serializers.URLField(help_text="Where its thumbnail is, for its owner.")
    original = serializers.URLField(allow_null=True, help_text="Where the file itself is, where it was kept.")
    share = serializers.URLField(allow_null=True, help_text="The page that others see, where one shares it.")


PredictionPageSerializer = page_serializer("PredictionPage", PredictionSerializer)


def read_wanted(values: dict[str, Any]) -> Wanted:
    """Turn what `FilterSerializer` checked into what the services take."""
    renamed = {"class": "class_key", "model_version": "version", "label": "label_key"}
    ignored = {"cursor", "page_size", PARAMETER}
    return Wanted(**{renamed.get(name, name): value for name, value in values.items() if name not in ignored})


def prediction_bodies(predictions: Sequence[Prediction], request: Request) -> list[dict[str, Any]]:
    """Return `PredictionSerializer`'s shape of several predictions, in the active language and one query."""
    keys = class_keys_of(predictions)
    return [
        {
            **answer_body(prediction, class_keys=keys[prediction.model_version_id]),
            "created_at": prediction.created_at,
            "file_name": prediction.file_name,
            "source": prediction.source,
            "width": prediction.width,
            "height": prediction.height,
            "label": prediction.label_key or None,
            "thumbnail": reverse("api:prediction_thumbnail", args=[prediction.pk], request=request),
            "original": _original_address(prediction, request),
            "share": _share_address(prediction, request),
        }
        for prediction in predictions
    ]


def _original_address(prediction: Prediction, request: Request) -> str | None:
    if not hasattr(prediction, "original"):
        return None
    return reverse("api:prediction_original", args=[prediction.pk], request=request)


def _share_address(prediction: Prediction, request: Request) -> str | None:
    return reverse("shared", args=[prediction.share.token], request=request) if hasattr(prediction, "share") else None

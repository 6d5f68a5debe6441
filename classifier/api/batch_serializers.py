"""Shapes of the requests and answers about batch jobs."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from classifier.api.serializers import ItemFaultSerializer
from classifier.batches.waiting import BatchWaitsFor
from training.api.fields import UploadField
from training.api.lists import ListQuerySerializer, page_serializer
from training.choices import Cause, JobStatus, Reason

ITEM_PAGE: Final = 100
LARGEST_ITEM_PAGE: Final = 1000
_BATCH: Final[dict[str, Any]] = {
    "id": 7,
    "status": "running",
    "reason": None,
    "detail": "",
    "name": "holidays.zip",
    "cancel_requested": False,
    "requested_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:01Z",
    "finished_at": None,
    "progress": {"done": 4096, "total": 10000},
    "errors": 3,
    "labelled": 0,
    "images_per_second": 2650.4,
    "seconds_left": 2.2,
    "model_version": "v1",
    "model_sha256": "9f2c5a1d0b7e4c3f8a6d2e1b0c9f8e7d6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d",
    "accuracy": None,
    "can_resume": False,
}
_REQUESTED: Final = {
    "at": "2026-03-01T12:00:00Z",
    "from": None,
    "to": "queued",
    "cause": "requested",
    "reason": None,
    "detail": "",
}
_DETAIL: Final[dict[str, Any]] = {
    **_BATCH,
    "status": "queued",
    "started_at": None,
    "progress": {"done": 0, "total": 10000},
    "errors": 0,
    "images_per_second": None,
    "seconds_left": None,
    "model_version": None,
    "model_sha256": None,
    "waiting": {"for": "worker", "position": 1},
    "metrics": None,
    "history": [_REQUESTED],
}


class BatchRequestSerializer(serializers.Serializer[Any]):
    """The pictures of a batch: one archive, or files."""

    archive = UploadField(
        required=False,
        help_text="A .zip, .tar, .tar.gz or .tar.xz with pictures; folders named as classes, or a `labels.csv` with "
        "lines of `name,label`, tell what they show.",
    )
    files = serializers.ListField(
        child=UploadField(), required=False, help_text="JPEG, PNG, WEBP, GIF or BMP files, without an archive."
    )


class BatchProgressSerializer(serializers.Serializer[Any]):
    """How far a batch is."""

    done = serializers.IntegerField(help_text="Pictures that were answered or refused.")
    total = serializers.IntegerField(help_text="Pictures in the archive; 0 until they are counted.")


@extend_schema_serializer(examples=[OpenApiExample("At work", value=_BATCH, response_only=True)])
class BatchSerializer(serializers.Serializer[Any]):
    """A batch job."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True, help_text="Why it ended other than well.")
    detail = serializers.CharField(help_text="The same as a sentence.")
    name = serializers.CharField(help_text="What the archive was called; empty where files were sent.")
    cancel_requested = serializers.BooleanField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = BatchProgressSerializer()
    errors = serializers.IntegerField(  # type: ignore[assignment]  # a field named as the base class's property
        help_text="Pictures that could not be read."
    )
    labelled = serializers.IntegerField(help_text="Pictures with a label that the model knows.")
    images_per_second = serializers.FloatField(allow_null=True)
    seconds_left = serializers.FloatField(allow_null=True, help_text="Null where it cannot be told.")
    model_version = serializers.CharField(allow_null=True, help_text="Chosen when the batch begins, then the same.")
    model_sha256 = serializers.CharField(allow_null=True)
    accuracy = serializers.FloatField(allow_null=True, help_text="On the labelled pictures, once all are answered.")
    can_resume = serializers.BooleanField()


BatchPageSerializer = page_serializer("BatchPage", BatchSerializer)


class BatchQuerySerializer(ListQuerySerializer):
    """Which batches are listed."""

    status = serializers.ChoiceField(choices=JobStatus.choices, required=False, help_text="Keeps one state.")
    lang = serializers.ChoiceField(
        choices=settings.LANGUAGES, required=False, help_text="Language of the classes' names."
    )


class BatchWaitingSerializer(serializers.Serializer[Any]):
    """Why a queued batch waits."""

    position = serializers.IntegerField(help_text="Its place among the waiting ones, 1 for the next.")

    def get_fields(self) -> dict[str, Any]:
        """Add the key that is a word of Python."""
        waits_for = serializers.ChoiceField(choices=[(reason.value, reason.value) for reason in BatchWaitsFor])
        return {"for": waits_for, **super().get_fields()}


class BatchTransitionSerializer(serializers.Serializer[Any]):
    """One change of a batch's state."""

    at = serializers.DateTimeField()
    to = serializers.ChoiceField(choices=JobStatus.choices)
    cause = serializers.ChoiceField(choices=Cause.choices)
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True)
    detail = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """Add the key that is a word of Python."""
        source = serializers.ChoiceField(choices=JobStatus.choices, allow_null=True)
        return {"from": source, **super().get_fields()}


@extend_schema_serializer(examples=[OpenApiExample("Waiting", value=_DETAIL, response_only=True)])
class BatchDetailSerializer(BatchSerializer):
    """A batch job with why it waits, what was measured, and its history."""

    waiting = BatchWaitingSerializer(allow_null=True)
    metrics = serializers.DictField(
        allow_null=True,
        help_text="On the labelled pictures: accuracy, per_class, confusion_matrix, ece, reliability, nll, …",
    )
    history = BatchTransitionSerializer(many=True)


@extend_schema_serializer(
    examples=[OpenApiExample("Accepted", value={**_DETAIL, "broker_reached": True}, response_only=True)]
)
class AcceptedBatchSerializer(BatchDetailSerializer):
    """A batch job that was queued."""

    broker_reached = serializers.BooleanField(help_text="Whether a worker could be woken; if not, it starts later.")


class BatchItemSerializer(serializers.Serializer[Any]):
    """What became of one picture: an answer, or `error`."""

    index = serializers.IntegerField(help_text="Its place in the archive, from 0.")
    name = serializers.CharField()
    class_id = serializers.IntegerField(allow_null=True)
    class_key = serializers.CharField(allow_null=True)
    class_name = serializers.CharField(allow_null=True, help_text="In the language asked for.")
    confidence = serializers.FloatField(allow_null=True, min_value=0, max_value=1)
    probabilities = serializers.DictField(child=serializers.FloatField(), allow_null=True, help_text="By class key.")
    out_of_distribution = serializers.BooleanField()
    label = serializers.CharField(  # type: ignore[assignment]  # likewise
        allow_null=True, help_text="What it shows according to the archive."
    )
    error = ItemFaultSerializer(allow_null=True)


BatchItemPageSerializer = page_serializer("BatchItemPage", BatchItemSerializer)


class BatchItemQuerySerializer(ListQuerySerializer):
    """Which answers of a batch are listed."""

    page_size = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_ITEM_PAGE,
        help_text=f"Answers of a page, 1 to {LARGEST_ITEM_PAGE}; without it {ITEM_PAGE}.",
    )
    errors = serializers.BooleanField(  # type: ignore[assignment]  # a field named as the base class's property
        required=False, help_text="Keeps the pictures that could not be read."
    )
    confidence_max = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Keeps the answers that are no surer than this."
    )
    right = serializers.BooleanField(
        required=False, help_text="Keeps the answers that are, or are not, what the archive says."
    )
    lang = serializers.ChoiceField(
        choices=settings.LANGUAGES, required=False, help_text="Language of the classes' names."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field whose name is a word of the language."""
        answered = serializers.CharField(required=False, max_length=63, help_text="Keeps one class, by its key.")
        return {"class": answered, **super().get_fields()}

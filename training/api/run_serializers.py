"""Shapes of the requests and answers about runs and queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from training.api.lists import ListQuerySerializer, page_serializer
from training.api.strict import StrictSerializer
from training.choices import Cause, JobStatus, Priority, QueueName, Reason
from training.models import Dataset, TrainingRun
from training.services import WaitsFor, WantedRuns

PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}
_LONGEST_TEXT: Final = 1024
_WAITING_EXAMPLE: Final = {"for": "turn", "position": 2, "expected_start": "2026-03-01T12:40:00Z", "after": None}
_RUN_EXAMPLE: Final[dict[str, Any]] = {
    "id": 12,
    "status": "queued",
    "reason": None,
    "detail": "",
    "dataset": "cifar10",
    "recipe": "fast",
    "owner": "ada",
    "priority": "normal",
    "after": None,
    "continues": None,
    "control_of": None,
    "cancel_requested": False,
    "requested_at": "2026-03-01T12:00:00Z",
    "started_at": None,
    "finished_at": None,
    "attempts": 0,
    "progress": {"done": 0, "total": 0, "message": ""},
    "waiting": _WAITING_EXAMPLE,
    "model_version": None,
    "test_accuracy": None,
}
_REQUESTED_EXAMPLE: Final = {
    "at": "2026-03-01T12:00:00Z",
    "from": None,
    "to": "queued",
    "cause": "requested",
    "by": "ada",
    "worker": "",
    "attempt": 0,
    "fence": 0,
    "reason": None,
    "detail": "",
}


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}]})
class SettingField(serializers.Field[Any, Any, Any, Any]):
    """A number, a text or a truth value; which of them, and what is allowed, the engine decides by the option."""

    default_error_messages = {"invalid": _("Give a number, a text, true or false.")}  # the base's own

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401  # whatever was sent
        """Let scalars pass that can be stored."""
        if not isinstance(data, bool | int | float | str) or (isinstance(data, str) and len(data) > _LONGEST_TEXT):
            self.fail("invalid")
        if isinstance(data, str):
            try:
                ProhibitNullCharactersValidator()(data)
            except DjangoValidationError as error:
                raise serializers.ValidationError(error.messages, code="invalid") from error
            ProhibitSurrogateCharactersValidator()(data)
        return data

    def to_representation(self, value: Any) -> Any:  # noqa: ANN401  # a scalar
        """Return the value as it is."""
        return value


class DatasetField(serializers.SlugRelatedField[Dataset]):
    """A dataset by its name."""

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401  # whatever was sent
        """Look for it; Postgres fails where it is asked for a text with a NUL in it."""
        if isinstance(data, str) and "\0" in data:
            self.fail("invalid")
        return super().to_internal_value(data)


class RunRequestSerializer(StrictSerializer):
    """A run to queue."""

    dataset = DatasetField(slug_field="name", queryset=Dataset.objects.all(), help_text="Name of an imported dataset.")
    recipe = serializers.CharField(default="fast", help_text="Set of defaults.")
    settings = serializers.DictField(
        child=SettingField(), default=dict, help_text="Options that differ from the recipe's, by name."
    )
    priority = serializers.ChoiceField(
        choices=list(PRIORITIES), default="normal", help_text="Which waiting runs are taken first; high for operators."
    )
    after = serializers.PrimaryKeyRelatedField(
        queryset=TrainingRun.objects.all(),
        default=None,
        allow_null=True,
        help_text="Number of the run that has to succeed first.",
    )


class ExtensionRequestSerializer(StrictSerializer):
    """For how long a run shall go on."""

    epochs = serializers.IntegerField(min_value=1, max_value=1_000_000, help_text="How many epochs more.")


class PriorityRequestSerializer(StrictSerializer):
    """When a run that waits shall be taken."""

    priority = serializers.ChoiceField(choices=list(PRIORITIES))


class ProgressSerializer(serializers.Serializer[Any]):
    """How far a run is."""

    done = serializers.IntegerField(help_text="Optimizer steps.")
    total = serializers.IntegerField(help_text="0 before it is known.")
    message = serializers.CharField(allow_blank=True)


class WaitingSerializer(serializers.Serializer[Any]):
    """Why a queued run has not begun."""

    position = serializers.IntegerField(
        allow_null=True, help_text="1 for the next one; null while it waits for a certain other run."
    )
    expected_start = serializers.DateTimeField(allow_null=True, help_text="An estimate; null where nothing is known.")
    after = serializers.IntegerField(allow_null=True, help_text="Number of the run that has to succeed first.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field whose name is a word of the language."""
        choices = [(cause.value, cause.name) for cause in WaitsFor]
        return {"for": serializers.ChoiceField(choices=choices, help_text="What it waits for."), **super().get_fields()}


class TransitionSerializer(serializers.Serializer[Any]):
    """One change of a run's state."""

    at = serializers.DateTimeField()
    to = serializers.ChoiceField(choices=JobStatus.choices)
    cause = serializers.ChoiceField(choices=Cause.choices)
    by = serializers.CharField(allow_null=True, help_text="Who asked for it.")
    worker = serializers.CharField(allow_blank=True, help_text="Which worker had the run.")
    attempt = serializers.IntegerField(help_text="Claims since the last checkpoint.")
    fence = serializers.IntegerField(help_text="Raised by one with every claim.")
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True)
    detail = serializers.CharField(allow_blank=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field whose name is a word of the language."""
        source = serializers.ChoiceField(choices=JobStatus.choices, allow_null=True, help_text="null for the request.")
        return {"from": source, **super().get_fields()}


@extend_schema_serializer(examples=[OpenApiExample("A waiting run", value=_RUN_EXAMPLE, response_only=True)])
class RunSerializer(serializers.Serializer[Any]):
    """A training run."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True, help_text="Why it ended other than well.")
    detail = serializers.CharField(allow_blank=True, help_text="The same in a sentence.")
    dataset = serializers.CharField()
    recipe = serializers.CharField()
    owner = serializers.CharField(allow_null=True, help_text="null: the command line asked.")
    priority = serializers.ChoiceField(choices=list(PRIORITIES))
    after = serializers.IntegerField(allow_null=True, help_text="The run that had to succeed first.")
    continues = serializers.IntegerField(allow_null=True, help_text="The run that it goes on from.")
    control_of = serializers.IntegerField(allow_null=True, help_text="The transfer run that it is compared with.")
    cancel_requested = serializers.BooleanField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField(help_text="Claims since the last checkpoint.")
    progress = ProgressSerializer()
    waiting = WaitingSerializer(allow_null=True, help_text="null unless it is queued.")
    model_version = serializers.CharField(allow_null=True)
    test_accuracy = serializers.FloatField(allow_null=True, min_value=0, max_value=1)


class RunFilterSerializer(StrictSerializer):
    """Which runs are meant."""

    search = serializers.CharField(
        required=False,
        max_length=100,
        help_text="Part of a name of dataset, recipe, network or owner, or a run's number.",
    )
    status = serializers.ChoiceField(choices=JobStatus.choices, required=False, help_text="Keeps one state.")
    dataset = serializers.CharField(required=False, max_length=63, help_text="Name of a dataset.")
    recipe = serializers.CharField(required=False, max_length=63, help_text="Name of a recipe.")
    architecture = serializers.CharField(required=False, max_length=100, help_text="Name of a network.")
    owner = serializers.CharField(required=False, max_length=150, help_text="Name of an account.")
    since = serializers.DateField(required=False, help_text="Requested on this day or later, UTC.")
    until = serializers.DateField(required=False, help_text="Requested on this day or before, UTC.")
    least_accuracy = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Of its model on the test images."
    )
    most_accuracy = serializers.FloatField(required=False, min_value=0, max_value=1, help_text="Likewise.")


class RunQuerySerializer(RunFilterSerializer, ListQuerySerializer):
    """Which runs are listed."""


def read_wanted_runs(query: Mapping[str, Any]) -> WantedRuns:
    """Return which runs a checked query means."""
    names = RunFilterSerializer().fields
    return WantedRuns(**{name: value for name, value in query.items() if name in names})


RunPageSerializer = page_serializer("RunPage", RunSerializer)


_DETAIL_EXAMPLE: Final = {**_RUN_EXAMPLE, "settings": {"epochs": 4}, "metrics": {}, "history": [_REQUESTED_EXAMPLE]}


@extend_schema_serializer(examples=[OpenApiExample("A waiting run", value=_DETAIL_EXAMPLE, response_only=True)])
class RunDetailSerializer(RunSerializer):
    """A training run with its settings, its figures and its history."""

    settings = serializers.DictField(help_text="Every option with its value.")
    metrics = serializers.DictField(help_text="What was measured on the test images; empty before.")
    history = TransitionSerializer(many=True, help_text="Every change of its state, the oldest first.")


@extend_schema_serializer(
    examples=[OpenApiExample("Accepted", value={**_DETAIL_EXAMPLE, "broker_reached": True}, response_only=True)]
)
class AcceptedRunSerializer(RunDetailSerializer):
    """A run that was queued."""

    broker_reached = serializers.BooleanField(
        help_text="Whether a worker could be woken. If not, the run is kept and starts once the message broker answers."
    )


class QueueStateSerializer(serializers.Serializer[Any]):
    """A queue; a paused one takes in jobs and starts none."""

    name = serializers.ChoiceField(choices=QueueName.choices)
    paused_at = serializers.DateTimeField(allow_null=True, help_text="null while it is not paused.")
    paused_by = serializers.CharField(allow_null=True, help_text="null: the command line did.")
    queued = serializers.IntegerField()
    running = serializers.IntegerField()

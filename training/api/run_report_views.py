"""The API of what a run reports while it trains and afterwards: its epochs, its history, the end of its log."""

from __future__ import annotations

from typing import Any, Final

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from training.api.bodies import history_bodies
from training.api.guarded import JSON, REFUSALS, GuardedView
from training.api.lists import checked_query
from training.api.run_serializers import TransitionSerializer
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.models import EpochMetric, TrainingRun

_VIEW: Final = "training.view_trainingrun"
_DESCRIPTIONS: Final = {
    400: "A parameter that is unknown or wrong; `errors` names it.",
    **REFUSALS,
    404: "There is no run of that number.",
}
_EPOCH_FIELDS: Final = (
    "phase",
    "epoch",
    "step",
    "images",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "f1_macro",
    "learning_rate",
    "seconds",
    "measured_at",
)


class EpochQuerySerializer(StrictSerializer):
    """Which epochs are told."""

    after_step = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, help_text="Only those that ended after this optimizer step."
    )


class EpochSerializer(serializers.ModelSerializer[EpochMetric]):
    """What one epoch measured. Accuracies and F1 are fractions; the phase is 0 in a run of one phase, else 1 or 2."""

    class Meta:
        model = EpochMetric
        fields = _EPOCH_FIELDS


class RunMetricsSerializer(serializers.Serializer[Any]):
    """What a run measured."""

    status = serializers.CharField(help_text="Of the run; while it is `running`, more epochs may come.")
    epochs = EpochSerializer(many=True, help_text="In order.")
    test = serializers.DictField(help_text="Measured on the test images; empty before.")


class RunEventsSerializer(serializers.Serializer[Any]):
    """What happened to a run."""

    history = TransitionSerializer(many=True, help_text="Every change of its state, the oldest first.")
    log = serializers.ListField(child=serializers.CharField(), help_text="The last lines of its log.")


class RunMetricsView(GuardedView):
    """The learning curve."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_run_metrics",
        tags=["Runs"],
        summary="Read a run's epochs",
        parameters=[EpochQuerySerializer],
        responses={(200, JSON): RunMetricsSerializer, **problem_responses(descriptions=_DESCRIPTIONS)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Tell them, with what was measured on the test images."""
        wanted = checked_query(EpochQuerySerializer, request)
        run = get_object_or_404(TrainingRun.objects.only("status", "metrics"), pk=pk)
        epochs = run.epochs.filter(step__gt=wanted.get("after_step", -1)).values(*_EPOCH_FIELDS)
        return Response({"status": run.status, "epochs": list(epochs), "test": run.metrics})


class RunEventsView(GuardedView):
    """The history and the log."""

    scope = "train"
    needed = {"GET": _VIEW}

    @extend_schema(
        operation_id="get_run_events",
        tags=["Runs"],
        summary="Read what happened to a run",
        responses={(200, JSON): RunEventsSerializer, **problem_responses(descriptions=_DESCRIPTIONS)},
    )
    def get(self, request: Request, pk: int) -> Response:
        """Tell every change of its state, and the end of its log."""
        checked_query(StrictSerializer, request)
        run = get_object_or_404(TrainingRun.objects.only("log_tail"), pk=pk)
        return Response({"history": history_bodies(run), "log": run.log_tail.splitlines()})

"""Shapes of the requests and answers about evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from training.api.bodies import history_bodies
from training.api.lists import ListQuerySerializer, page_serializer
from training.api.run_serializers import ProgressSerializer, TransitionSerializer
from training.api.strict import StrictSerializer
from training.choices import JobStatus, Reason
from training.models import Evaluation
from training.models.dataset import validate_name
from training.sights import ImageMap


class EvaluationQuerySerializer(ListQuerySerializer):
    """Which evaluations are listed."""

    status = serializers.ChoiceField(choices=JobStatus.choices, required=False, help_text="Keeps one state.")


class EvaluationRequestSerializer(StrictSerializer):
    """What a version shall be measured on."""

    dataset = serializers.CharField(max_length=63, validators=[validate_name], help_text="Name of a dataset.")
    test_time_augmentation = serializers.BooleanField(
        default=False, help_text="Whether its gain is measured as well: six times the work."
    )


class AnswersQuerySerializer(StrictSerializer):
    """Which test images are listed: one cell of the confusion matrix."""

    class_key = serializers.CharField(help_text="What they show.")
    answer = serializers.CharField(help_text="What they were taken for.")


class EvaluationSerializer(serializers.Serializer[Any]):
    """A job that measures a version on a dataset."""

    id = serializers.IntegerField()
    version = serializers.CharField()
    dataset = serializers.CharField(help_text="Name of the dataset.")
    status = serializers.ChoiceField(choices=JobStatus.choices)
    reason = serializers.ChoiceField(choices=Reason.choices, allow_null=True, help_text="Why it ended other than well.")
    detail = serializers.CharField(allow_blank=True, help_text="The same in a sentence.")
    owner = serializers.CharField(allow_null=True, help_text="null: the command line asked.")
    test_time_augmentation = serializers.BooleanField()
    accuracy = serializers.FloatField(min_value=0, max_value=1, allow_null=True)
    has_files = serializers.BooleanField(help_text="Whether `answers` and `map` can be asked: the newest one's can.")
    cancel_requested = serializers.BooleanField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = ProgressSerializer()


class EvaluationDetailSerializer(EvaluationSerializer):
    """An evaluation with what it measured."""

    report = serializers.DictField(help_text="Figures as in a version's detail; empty before the end.")
    history = TransitionSerializer(many=True, help_text="Every change of its state, the oldest first.")


class AcceptedEvaluationSerializer(EvaluationDetailSerializer):
    """An evaluation that was queued."""

    broker_reached = serializers.BooleanField(
        help_text="Whether a worker could be woken. If not, it is kept and starts once the message broker answers."
    )


class EvaluationAnswersSerializer(serializers.Serializer[Any]):
    """The test images of one class that got one answer."""

    dataset = serializers.CharField()
    indices = serializers.ListField(child=serializers.IntegerField(), help_text="Places in the test split, from 0.")


class PointSerializer(serializers.Serializer[Any]):
    """A test image on the map."""

    index = serializers.IntegerField(help_text="Its place in the test split, from 0.")
    x = serializers.FloatField(min_value=0, max_value=1)
    y = serializers.FloatField(min_value=0, max_value=1)
    class_key = serializers.CharField(help_text="What it shows.")
    answer = serializers.CharField(help_text="What it was taken for.")


class EvaluationMapSerializer(serializers.Serializer[Any]):
    """Test images in the plane: those that the version sees alike are near each other; the axes mean nothing."""

    dataset = serializers.CharField()
    points = PointSerializer(many=True)


EvaluationPageSerializer = page_serializer("EvaluationPage", EvaluationSerializer)


def evaluation_bodies(evaluations: Sequence[Any]) -> list[dict[str, Any]]:
    """Return `EvaluationSerializer`'s shape of several of `EvaluationQuerySet.to_list`."""
    return [
        {
            "id": one.pk,
            "version": f"v{one.version_id}",
            "dataset": one.dataset.name,
            "status": one.status,
            "reason": one.reason or None,
            "detail": one.detail,
            "owner": one.owner and one.owner.username,
            "test_time_augmentation": one.with_augmentation,
            "accuracy": one.measured,
            "has_files": bool(one.location),
            "cancel_requested": one.cancel_requested,
            "requested_at": one.requested_at,
            "started_at": one.started_at,
            "finished_at": one.finished_at,
            "progress": {"done": one.progress_done, "total": one.progress_total, "message": one.progress_message},
        }
        for one in evaluations
    ]


def evaluation_detail(evaluation: Evaluation) -> dict[str, Any]:
    """Return `EvaluationDetailSerializer`'s shape."""
    [body] = evaluation_bodies([evaluation])
    return {**body, "report": evaluation.report, "history": history_bodies(evaluation)}


def map_body(evaluation: Evaluation, found: ImageMap, *, class_keys: Sequence[str]) -> dict[str, Any]:
    """Return `EvaluationMapSerializer`'s shape."""
    rows = zip(
        found.indices.tolist(), found.points.tolist(), found.labels.tolist(), found.answers.tolist(), strict=True
    )
    points = [
        {"index": index, "x": x, "y": y, "class_key": class_keys[label], "answer": class_keys[answer]}
        for index, (x, y), label, answer in rows
    ]
    return {"dataset": evaluation.dataset.name, "points": points}

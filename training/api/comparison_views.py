"""The API of runs side by side."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from training.api.guarded import JSON, REFUSALS, GuardedView
from training.api.run_serializers import SettingField
from training.api.serializers import problem_responses
from training.api.strict import StrictSerializer
from training.choices import JobStatus
from training.services import FEWEST_COMPARED, MOST_COMPARED, Comparison, compare_runs

_LARGEST_KEY: Final = 10**18 - 1


class ComparisonQuerySerializer(StrictSerializer):
    """Which runs are compared."""

    run = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_LARGEST_KEY),
        min_length=FEWEST_COMPARED,
        max_length=MOST_COMPARED,
        help_text=f"Numbers of {FEWEST_COMPARED} to {MOST_COMPARED} runs: `?run=3&run=4`.",
    )


class ComparedRunSerializer(serializers.Serializer[Any]):
    """One of the runs."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    epochs = serializers.IntegerField(help_text="How many it has so far.")
    model_version = serializers.CharField(allow_null=True)


class ComparedSettingSerializer(serializers.Serializer[Any]):
    """One setting."""

    name = serializers.CharField()
    values = serializers.ListField(
        child=SettingField(allow_null=True), help_text="One for each run; null where the run did not know the setting."
    )
    differs = serializers.BooleanField()


class ComparedFigureSerializer(serializers.Serializer[Any]):
    """One figure; accuracies and the like are fractions."""

    name = serializers.CharField()
    values = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text="One for each run.")
    best = serializers.ListField(
        child=serializers.IntegerField(), help_text="Numbers of the runs with the best value, if one is better."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Two runs",
            value={
                "runs": [
                    {"id": 3, "status": "succeeded", "epochs": 8, "model_version": "v2"},
                    {"id": 4, "status": "succeeded", "epochs": 8, "model_version": "v3"},
                ],
                "settings": [{"name": "learning_rate", "values": [0.1, 0.2], "differs": True}],
                "figures": [{"name": "accuracy", "values": [0.93, 0.94], "best": [4]}],
                "same_test": True,
            },
            response_only=True,
        )
    ]
)
class ComparisonSerializer(serializers.Serializer[Any]):
    """Runs side by side; every list of values is in their order."""

    runs = ComparedRunSerializer(many=True)
    settings = ComparedSettingSerializer(many=True)
    figures = ComparedFigureSerializer(many=True)
    same_test = serializers.BooleanField(help_text="Whether all were tested on the same images.")


class RunComparisonView(GuardedView):
    """Several runs side by side."""

    scope = "train"
    needed = {"GET": "training.view_trainingrun"}

    @extend_schema(
        operation_id="compare_runs",
        tags=["Runs"],
        summary="Compare runs",
        description="Their curves are those of “Read a run's epochs”.",
        parameters=[ComparisonQuerySerializer],
        responses={
            (200, JSON): ComparisonSerializer,
            **problem_responses(
                descriptions={
                    400: "Not two to six different runs, or a parameter that is unknown or wrong.",
                    **REFUSALS,
                    404: "One of the runs is not there.",
                }
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """Compare them."""
        query = ComparisonQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(_comparison_body(compare_runs(numbers=query.validated_data["run"])))


def _comparison_body(comparison: Comparison) -> dict[str, Any]:
    numbers = [run.pk for run in comparison.runs]
    versions = [getattr(run, "version", None) for run in comparison.runs]
    return {
        "runs": [
            {"id": run.pk, "status": run.status, "epochs": epochs, "model_version": version and str(version)}
            for run, epochs, version in zip(comparison.runs, comparison.epochs, versions, strict=True)
        ],
        "settings": [
            {"name": setting.name, "values": list(setting.values), "differs": setting.differs}
            for setting in comparison.settings
        ],
        "figures": [
            {
                "name": figure.name,
                "values": list(figure.values),
                "best": [numbers[position] for position in sorted(figure.best)],
            }
            for figure in comparison.figures
        ],
        "same_test": comparison.same_test,
    }

"""Learning curves as columns of numbers, for the charts of a run's page and of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import View

from training.exceptions import ServiceError
from training.models import EpochMetric, TrainingRun
from training.services import compare_runs
from training.views.access import PageAccessMixin
from training.views.numbers import read_numbers

_COLUMNS: Final = (
    "phase",
    "epoch",
    "train_loss",
    "validation_loss",
    "train_accuracy",
    "validation_accuracy",
    "learning_rate",
    "seconds",
)


@method_decorator(never_cache, name="dispatch")
class RunCurveView(PageAccessMixin, View):
    """The curves of one run."""

    permission_required = "training.view_trainingrun"

    def get(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Return one list per measure, all as long as the list of epochs."""
        run = get_object_or_404(TrainingRun.objects.only("config", "status"), pk=pk)
        return JsonResponse(_curves_of([run])[0])


@method_decorator(never_cache, name="dispatch")
class ComparedCurvesView(PageAccessMixin, View):
    """The curves of several runs, in the order in which the address names them."""

    permission_required = "training.view_trainingrun"

    def get(self, request: HttpRequest) -> JsonResponse:
        """Return the columns of each run."""
        try:
            comparison = compare_runs(numbers=read_numbers(request.GET))
        except ServiceError as error:
            return JsonResponse({"detail": str(error)}, status=error.status)
        return JsonResponse({"runs": _curves_of(comparison.runs)})


def _curves_of(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Return the columns of each run, with the number of epochs that it is to have."""
    rows: dict[int, list[tuple[Any, ...]]] = {run.pk: [] for run in runs}
    for run, *row in EpochMetric.objects.filter(run__in=runs).values_list("run", *_COLUMNS):
        rows[run].append(tuple(row))
    return [
        {
            "status": run.status,
            "total_epochs": sum(run.epochs_by_phase.values()),
            **{name: [row[position] for row in rows[run.pk]] for position, name in enumerate(_COLUMNS)},
        }
        for run in runs
    ]

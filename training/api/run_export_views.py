"""The training runs as a file, written while it is sent: memory stays flat whatever their number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from training.api.bodies import run_bodies
from training.api.files import csv_text, harmless_cell, renderers_of, send_stream
from training.api.guarded import REFUSALS, GuardedView
from training.api.lists import checked_query
from training.api.run_serializers import RunFilterSerializer, read_wanted_runs
from training.api.serializers import problem_responses
from training.models import TrainingRun
from training.models.run import TrainingRunQuerySet
from training.services import WantedRuns, find_runs

COLUMNS: Final = (
    "run",
    "status",
    "reason",
    "dataset",
    "recipe",
    "architecture",
    "owner",
    "requested_at",
    "started_at",
    "finished_at",
    "wall_seconds",
    "model_version",
    "test_accuracy",
    "settings",
)
_CSV: Final = "text/csv"
_LINES: Final = "application/jsonl"
_READ_AT_ONCE: Final = 200
_RESPONSES: Final = problem_responses(
    descriptions={400: "A parameter that is unknown or wrong; `errors` names it.", **REFUSALS}
)


class RunsCsvView(GuardedView):
    """The runs for a spreadsheet."""

    scope = "train"
    needed = {"GET": "training.view_trainingrun"}
    renderer_classes = renderers_of(_CSV)

    @extend_schema(
        operation_id="export_runs_csv",
        tags=["Runs"],
        summary="Download the runs as CSV",
        description=(
            "The newest first. Texts that a spreadsheet would take for a formula begin with an apostrophe; "
            "`settings` is a JSON object."
        ),
        parameters=[RunFilterSerializer],
        responses={(200, _CSV): OpenApiTypes.STR, **_RESPONSES},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send them."""
        wanted = read_wanted_runs(checked_query(RunFilterSerializer, request))
        return send_stream(_write_csv(wanted), content_type=f"{_CSV}; charset=utf-8", name="runs.csv")


class RunsLinesView(GuardedView):
    """The runs for a program."""

    scope = "train"
    needed = {"GET": "training.view_trainingrun"}
    renderer_classes = renderers_of(_LINES)

    @extend_schema(
        operation_id="export_runs_jsonl",
        tags=["Runs"],
        summary="Download the runs as JSON lines",
        description="The newest first, each a line in the shape of “Describe a run”, without its history.",
        parameters=[RunFilterSerializer],
        responses={(200, _LINES): OpenApiTypes.STR, **_RESPONSES},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send them."""
        wanted = read_wanted_runs(checked_query(RunFilterSerializer, request))
        return send_stream(_write_lines(wanted), content_type=_LINES, name="runs.jsonl")


def _iterate(wanted: WantedRuns) -> Iterator[list[TrainingRun]]:
    """Yield the wanted runs, the newest first, some at a time."""
    runs: TrainingRunQuerySet = TrainingRun.objects.select_related("dataset", "owner", "version")
    light = runs.defer("log_tail", "dataset__manifest", "dataset__checks", "version__manifest")
    found = find_runs(among=light, wanted=wanted).order_by("-pk")
    some = list(found[:_READ_AT_ONCE])
    while some:
        yield some
        some = list(found.filter(pk__lt=some[-1].pk)[:_READ_AT_ONCE])


def _write_csv(wanted: WantedRuns) -> Iterator[str]:
    yield csv_text([list(COLUMNS)])
    for runs in _iterate(wanted):
        yield csv_text([_csv_row(run) for run in runs])


def _csv_row(run: TrainingRun) -> list[Any]:
    version = getattr(run, "version", None)
    moments = (run.requested_at, run.started_at, run.finished_at)
    return [
        run.pk,
        run.status,
        run.reason,
        harmless_cell(run.dataset.name),
        harmless_cell(run.recipe),
        harmless_cell(str(run.config.get("architecture", ""))),
        harmless_cell(run.owner.username if run.owner else ""),
        *(moment and moment.isoformat() for moment in moments),
        run.wall_seconds,
        version and str(version),
        version and version.test_accuracy,
        json.dumps(run.config, ensure_ascii=False),
    ]


def _write_lines(wanted: WantedRuns) -> Iterator[str]:
    for runs in _iterate(wanted):
        bodies = (
            {**body, "settings": run.config, "metrics": run.metrics}
            for run, body in zip(runs, run_bodies(runs), strict=True)
        )
        yield "".join(f"{json.dumps(body, ensure_ascii=False, cls=JSONEncoder)}\n" for body in bodies)

"""One's history as a file, written while it is sent: memory stays flat whatever its length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from classifier.api.naming import NamingView
from classifier.api.prediction_serializers import ExportQuerySerializer, prediction_bodies, read_wanted
from classifier.history import class_keys_of, iterate_predictions
from classifier.models import Prediction
from classifier.querysets import Wanted
from training.api.files import csv_text, harmless_cell, renderers_of, send_stream
from training.api.lists import checked_query
from training.api.requests import asker
from training.api.serializers import problem_responses

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

COLUMNS: Final = (
    "prediction_id",
    "created_at",
    "file_name",
    "class_key",
    "confidence",
    "label",
    "out_of_distribution",
    "source",
    "model_version",
    "model_sha256",
    "latency_ms",
    "width",
    "height",
    "probabilities",
)
_CSV: Final = "text/csv"
_LINES: Final = "application/jsonl"
_REFUSALS: Final = problem_responses(
    descriptions={
        400: "A parameter that is unknown or wrong; `errors` names it.",
        401: "No valid token and no session.",
    }
)


class CsvExportView(NamingView):
    """One's history for a spreadsheet."""

    scope = "predict"
    renderer_classes = renderers_of(_CSV)

    @extend_schema(
        operation_id="export_predictions_csv",
        tags=["History"],
        summary="Download one's predictions as CSV",
        description=(
            "The newest first. Texts that a spreadsheet would take for a formula begin with an apostrophe; "
            "`probabilities` is a JSON object, by class key."
        ),
        parameters=[ExportQuerySerializer],
        responses={(200, _CSV): OpenApiTypes.STR, **_REFUSALS},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send them."""
        wanted = read_wanted(checked_query(ExportQuerySerializer, request))
        parts = write_csv(asker(request), wanted)
        return send_stream(parts, content_type=f"{_CSV}; charset=utf-8", name="predictions.csv")


class LinesExportView(NamingView):
    """One's history for a program."""

    scope = "predict"
    renderer_classes = renderers_of(_LINES)

    @extend_schema(
        operation_id="export_predictions_jsonl",
        tags=["History"],
        summary="Download one's predictions as JSON lines",
        description="The newest first, each a line in the shape of “Describe a prediction”.",
        parameters=[ExportQuerySerializer],
        responses={(200, _LINES): OpenApiTypes.STR, **_REFUSALS},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Send them."""
        wanted = read_wanted(checked_query(ExportQuerySerializer, request))
        parts = _write_lines(request, wanted)
        return send_stream(parts, content_type=_LINES, name="predictions.jsonl")


def write_csv(owner: User, wanted: Wanted) -> Iterator[str]:
    """Yield the predictions that are wanted as CSV with a heading, some at a time."""
    yield csv_text([COLUMNS])
    for rows in iterate_predictions(owner=owner, wanted=wanted):
        keys = class_keys_of(rows)
        yield csv_text([_csv_row(row, class_keys=keys[row.model_version_id]) for row in rows])


def _csv_row(row: Prediction, *, class_keys: list[str]) -> list[object]:
    return [
        row.pk,
        row.created_at.isoformat(),
        harmless_cell(row.file_name),
        harmless_cell(row.class_key),
        row.confidence,
        harmless_cell(row.label_key),
        str(row.out_of_distribution).lower(),
        row.source,
        str(row.model_version),
        row.model_sha256,
        row.latency_ms,
        row.width,
        row.height,
        json.dumps(dict(zip(class_keys, row.probabilities, strict=True)), ensure_ascii=False),
    ]


def _write_lines(request: Request, wanted: Wanted) -> Iterator[str]:
    for rows in iterate_predictions(owner=asker(request), wanted=wanted):
        bodies = prediction_bodies(rows, request)
        yield "".join(f"{json.dumps(body, ensure_ascii=False, cls=JSONEncoder)}\n" for body in bodies)

"""What programs are told of batches and answers, by the API, the downloads and the command alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from classifier.batches.waiting import describe_batch_waiting
from classifier.images import refusal_text
from classifier.models import BatchItem, BatchJob
from training.api.files import csv_text, harmless_cell
from training.class_names import display_name
from training.models import Transition

_PAGE: Final = 1000
_COLUMNS: Final = ("index", "name", "class_key", "confidence", "out_of_distribution", "label", "error", "error_detail")


def batch_body(job: BatchJob) -> dict[str, Any]:
    """Return `BatchSerializer`'s shape."""
    return {
        "id": job.pk,
        "status": job.status,
        "reason": job.reason or None,
        "detail": job.detail,
        "name": job.name,
        "cancel_requested": job.cancel_requested,
        "requested_at": job.requested_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "progress": {"done": job.progress_done, "total": job.progress_total},
        "errors": job.error_count,
        "labelled": job.labelled_count,
        "images_per_second": job.items_per_second,
        "seconds_left": job.seconds_left,
        "model_version": None if job.model_version is None else str(job.model_version),
        "model_sha256": job.model_sha256 or None,
        "accuracy": job.metrics.get("accuracy"),
        "can_resume": job.status in {"failed", "cancelled"} and bool(job.archive),
    }


def batch_detail(job: BatchJob) -> dict[str, Any]:
    """Return `BatchDetailSerializer`'s shape."""
    waiting = describe_batch_waiting(job)
    return {
        **batch_body(job),
        "waiting": waiting and {"for": waiting.waits_for.value, "position": waiting.position},
        "metrics": job.metrics or None,
        "history": [
            {
                "at": change.at,
                "from": change.from_status or None,
                "to": change.to_status,
                "cause": change.cause,
                "reason": change.reason or None,
                "detail": change.detail,
            }
            for change in Transition.objects.of(job)
        ],
    }


def item_row(item: BatchItem, *, class_keys: list[str]) -> dict[str, Any]:
    """Return `BatchItemSerializer`'s shape in the active language."""
    if item.error_code:
        answer: dict[str, Any] = dict.fromkeys(("class_id", "class_key", "class_name", "confidence", "probabilities"))
        error = {"code": item.error_code, "detail": error_text(item)}
    else:
        assert item.probabilities is not None  # noqa: S101  # a constraint of the table
        answer = {
            "class_id": item.class_id,
            "class_key": item.class_key,
            "class_name": display_name(item.class_key),
            "confidence": item.confidence,
            "probabilities": dict(zip(class_keys, item.probabilities, strict=True)),
        }
        error = None
    return {
        "index": item.index,
        "name": item.name,
        **answer,
        "out_of_distribution": item.out_of_distribution,
        "label": item.expected_key or None,
        "error": error,
    }


def error_text(item: BatchItem) -> str:
    """Say in the active language why an entry has no answer."""
    return refusal_text(item.error_code) or item.error_detail


def csv_lines(job: BatchJob) -> Iterator[str]:
    """Yield the answers as CSV with a heading, a page of rows at a time; memory stays flat."""
    keys = job.class_keys
    yield csv_text([[*_COLUMNS, *(f"p_{key}" for key in keys)]])
    for page in _pages(job):
        yield csv_text([_csv_row(item, classes=len(keys)) for item in page])


def json_lines(job: BatchJob) -> Iterator[str]:
    """Yield the answers as one JSON object a line, a page of rows at a time."""
    keys = job.class_keys
    for page in _pages(job):
        yield "".join(f"{json.dumps(item_row(item, class_keys=keys), ensure_ascii=False)}\n" for item in page)


def _pages(job: BatchJob) -> Iterator[list[BatchItem]]:
    last = -1
    while page := list(BatchItem.objects.filter(batch=job, index__gt=last).order_by("index")[:_PAGE]):
        yield page
        last = page[-1].index


def _csv_row(item: BatchItem, *, classes: int) -> list[object]:
    shares = item.probabilities or [""] * classes
    return [
        item.index,
        harmless_cell(item.name),
        harmless_cell(item.class_key),
        "" if item.confidence is None else item.confidence,
        "" if item.error_code else str(item.out_of_distribution).lower(),
        harmless_cell(item.expected_key),
        item.error_code,
        error_text(item) if item.error_code else "",
        *shares,
    ]

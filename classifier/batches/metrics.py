"""How right a batch's answers are on the pictures that have a label, from its rows, in one pass and little memory.

The figures are named and computed as those of a model package (`training.engine.metrics`), so that the same page shows
them. Source of the calibration error: Guo et al. 2017, arXiv 1706.04599.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from classifier.models import BatchItem, BatchJob

BINS: Final = 15
"""Ranges of equal width of the confidence, as many as the engine's."""

_PAGE: Final = 2000
_LEAST: Final = 1e-6  # a probability that was rounded to nothing
_PAIRS: Final = 10

Row = tuple[str, int, list[float]]
"""Label, number of the class that was answered, probabilities."""


def measure_batch(job: BatchJob, *, on_page: Callable[[], None]) -> dict[str, Any]:
    """Measure a batch whose model was chosen.

    Args:
        job: The batch.
        on_page: Called now and then.

    Returns:
        JSON-ready figures; empty where no picture has both a label and an answer.
    """
    return measure(_labelled_rows(job, on_page=on_page), class_keys=job.class_keys)


def measure(rows: Iterable[Row], *, class_keys: Sequence[str]) -> dict[str, Any]:
    """Measure answers.

    Args:
        rows: Those with a label.
        class_keys: The K classes in the model's order.

    Returns:
        JSON-ready figures; shares are fractions in [0, 1]. Empty without rows.
    """
    number_of = {key: number for number, key in enumerate(class_keys)}
    confusion = [[0] * len(class_keys) for _ in class_keys]
    bins: list[list[float]] = [[0, 0.0, 0] for _ in range(BINS)]  # count, sum of confidences, right answers
    among_first_five, log_loss, count = 0, 0.0, 0
    for label, answered, probabilities in rows:
        truth = number_of[label]
        count += 1
        confusion[truth][answered] += 1
        confidence, likelihood = probabilities[answered], probabilities[truth]
        among_first_five += sum(share > likelihood for share in probabilities) < 5
        log_loss -= math.log(max(likelihood, _LEAST))
        found = bins[min(BINS - 1, max(0, math.ceil(confidence * BINS) - 1))]
        found[0] += 1
        found[1] += confidence
        found[2] += truth == answered
    if not count:
        return {}
    per_class = _measure_classes(confusion, class_keys=class_keys)
    reliability = [
        {"count": int(n), "confidence": total / n if n else None, "accuracy": right / n if n else None}
        for n, total, right in bins
    ]
    seen = [row for row in per_class if row["support"]]  # a class without pictures says nothing about the model
    return {
        "count": count,
        "accuracy": sum(confusion[i][i] for i in range(len(class_keys))) / count,
        "top5_accuracy": among_first_five / count,
        **{f"{name}_macro": sum(row[name] for row in seen) / len(seen) for name in ("precision", "recall", "f1")},
        "per_class": per_class,
        "confusion_matrix": confusion,
        "most_confused": _list_confusions(confusion, class_keys=class_keys),
        "ece": sum(abs(right - total) for _n, total, right in bins) / count,
        "reliability": reliability,
        "nll": log_loss / count,
    }


def _labelled_rows(job: BatchJob, *, on_page: Callable[[], None]) -> Iterable[Row]:
    labelled = BatchItem.objects.filter(batch=job).exclude(expected_key="").exclude(class_key="").order_by("index")
    last = -1
    while True:
        page = labelled.filter(index__gt=last).values_list("index", "expected_key", "class_id", "probabilities")[:_PAGE]
        rows = list(page)
        if not rows:
            return
        last = rows[-1][0]
        on_page()
        for _index, label, answered, probabilities in rows:
            assert answered is not None  # noqa: S101  # a constraint of the table
            assert probabilities is not None  # noqa: S101  # likewise
            yield label, answered, probabilities


def _measure_classes(confusion: Sequence[Sequence[int]], *, class_keys: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, key in enumerate(class_keys):
        right, support = confusion[number][number], sum(confusion[number])
        answered = sum(row[number] for row in confusion)
        rows.append(
            {
                "class_key": key,
                "precision": right / max(1, answered),
                "recall": right / max(1, support),
                "f1": 2 * right / max(1, support + answered),
                "support": support,
            }
        )
    return rows


def _list_confusions(confusion: Sequence[Sequence[int]], *, class_keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pairs of classes that are taken for each other most often."""
    cells = ((count, row, column) for row, line in enumerate(confusion) for column, count in enumerate(line))
    wrong = sorted((cell for cell in cells if cell[0] and cell[1] != cell[2]), key=lambda cell: -cell[0])
    return [
        {
            "class_key": class_keys[row],
            "predicted": class_keys[column],
            "count": count,
            "share": count / sum(confusion[row]),
        }
        for count, row, column in wrong[:_PAIRS]
    ]

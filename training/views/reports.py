"""Test metrics and manifests, arranged for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from training.class_names import display_name
from training.views.reliability import ReliabilityBar, draw_reliability

HEAT_LEVELS: Final = 8
_SUMMARY: Final = (
    "accuracy",
    "accuracy_without_near_duplicates",
    "near_duplicate_count",
    "top5_accuracy",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "ece",
    "nll",
    "loss",
)


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """How many pictures of the row's class were taken for `predicted`; `level` 0 to 8 is the share's shade."""

    predicted: str
    count: int
    share: float
    level: int
    is_right: bool

    @property
    def percent(self) -> float:
        """The share in percent, for tables that say so once."""
        return 100 * self.share


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its measures, and its row of the confusion matrix."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    cells: tuple[ConfusionCell, ...]


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """How many pictures of a class were taken for another one, and which share of the class that is."""

    name: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a trained model measured on the test split. Fractions in [0, 1]; None where the engine measured nothing."""

    summary: Mapping[str, float | None]
    rows: tuple[ClassRow, ...]
    pairs: tuple[ConfusedPair, ...]
    reliability: tuple[ReliabilityBar, ...]

    @property
    def names(self) -> list[str]:
        """Names of the classes, in label order."""
        return [row.name for row in self.rows]


def build_report(metrics: Mapping[str, Any]) -> TestReport | None:
    """Arrange the metrics of a run or a manifest; None before there are any."""
    if not metrics:
        return None
    per_class = metrics.get("per_class") or []
    names = [display_name(entry["class_key"]) for entry in per_class]
    matrix = metrics.get("confusion_matrix") or [[]] * len(names)
    rows = tuple(
        ClassRow(
            name=names[index],
            precision=entry["precision"],
            recall=entry["recall"],
            f1=entry["f1"],
            support=entry["support"],
            cells=_confusion_cells(index, matrix[index], names),
        )
        for index, entry in enumerate(per_class)
    )
    return TestReport(
        summary={name: metrics.get(name) for name in _SUMMARY},
        rows=rows,
        pairs=tuple(
            ConfusedPair(
                name=display_name(pair["class_key"]),
                predicted=display_name(pair["predicted"]),
                count=pair["count"],
                share=pair["share"],
            )
            for pair in metrics.get("most_confused", ())
        ),
        reliability=draw_reliability(metrics.get("reliability", ())),
    )


def _confusion_cells(row: int, counts: Sequence[int], names: Sequence[str]) -> tuple[ConfusionCell, ...]:
    total = sum(counts) or 1
    return tuple(
        ConfusionCell(
            predicted=names[column],
            count=count,
            share=count / total,
            # The square root keeps thirty mistakes visible beside nine hundred right answers.
            level=round(HEAT_LEVELS * math.sqrt(count / total)),
            is_right=row == column,
        )
        for column, count in enumerate(counts)
    )

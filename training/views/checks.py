"""The report of a dataset's checks, arranged for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from training.models import Dataset


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """How many images of one set have copies in another; `conflicting` ones have another class there."""

    title: str
    exact: int
    near: int
    conflicting: int


@dataclass(frozen=True, slots=True)
class SplitRow:
    """Faults of one split; `balance` is the smallest class over the largest, in [0, 1]."""

    title: str
    balance: float
    constant: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found; `leaked_near` test images have near copies among the training images."""

    splits: tuple[SplitRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    leaked_near: int


def build_check_report(dataset: Dataset) -> CheckReport | None:
    """Arrange a dataset's report; None when it was never checked."""
    report = dataset.checks
    if not report:
        return None
    comparisons = report["comparisons"]
    return CheckReport(
        splits=tuple(
            SplitRow(_split_title(split), balance=found["balance"], constant=found["constant"])
            for split, found in report["splits"].items()
        ),
        comparisons=tuple(
            ComparisonRow(_title(found), found["exact"], found["near"], found["conflicting"]) for found in comparisons
        ),
        leaked_near=sum(found["near"] for found in comparisons if _ends(found) == ("test", "train")),
    )


def _ends(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["first"], found["second"]


def _split_title(split: str) -> str:
    return _("Training images") if split == "train" else _("Test images")


def _title(found: Mapping[str, Any]) -> str:
    first, second = _ends(found)
    match first, second:
        case "train", "train":
            return _("Among the training images")
        case "test", "test":
            return _("Among the test images")
        case "test", "train":
            return _("Test images among the training images")
        case "test", _other:
            return _("Test images among those of %(name)s") % {"name": second}
    return _("Training images among those of %(name)s") % {"name": second}

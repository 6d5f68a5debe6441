"""Which training runs a list shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from django.db.models import F, Q
from django.db.models.expressions import OrderBy

from training.models.run import TrainingRunQuerySet

NEWEST_FIRST: Final = "-run"

_COLUMNS: Final = {
    "run": "pk",
    "status": "status",
    "dataset": "dataset__name",
    "recipe": "recipe",
    "accuracy": "version__test_accuracy",
    "owner": "owner__username",
}
SORTS: Final = tuple(f"{sign}{name}" for name in _COLUMNS for sign in ("", "-"))
"""What a list of runs goes by; a minus for the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRuns:
    """Which runs; what is empty or None leaves nothing out.

    Attributes:
        search: Part of the name of a dataset, a recipe, a network or an owner, or the number of a run.
        status: A state.
        dataset: Name of a dataset.
        recipe: Name of a recipe.
        architecture: Name of a network.
        owner: Name of an account.
        since: First day on which they were requested, UTC.
        until: Last such day.
        least_accuracy: Of the model on the test images, a fraction.
        most_accuracy: Likewise.
    """

    search: str = ""
    status: str = ""
    dataset: str = ""
    recipe: str = ""
    architecture: str = ""
    owner: str = ""
    since: date | None = None
    until: date | None = None
    least_accuracy: float | None = None
    most_accuracy: float | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no run is left out."""
        return self == WantedRuns()


def find_runs(*, among: TrainingRunQuerySet, wanted: WantedRuns) -> TrainingRunQuerySet:
    """Keep those of some runs that are wanted."""
    exact = {
        "status": wanted.status,
        "dataset__name": wanted.dataset,
        "recipe": wanted.recipe,
        "config__architecture": wanted.architecture,
        "owner__username": wanted.owner,
    }
    bounds = {
        "requested_at__gte": wanted.since and _midnight(wanted.since),
        "requested_at__lt": wanted.until and _midnight(wanted.until + timedelta(days=1)),
        "version__test_accuracy__gte": wanted.least_accuracy,
        "version__test_accuracy__lte": wanted.most_accuracy,
    }
    found = among.filter(**{name: value for name, value in exact.items() if value})
    found = found.filter(**{name: value for name, value in bounds.items() if value is not None})
    return found.filter(_matches(wanted.search)) if wanted.search else found


def sort_runs(*, runs: TrainingRunQuerySet, by: str) -> TrainingRunQuerySet:
    """Order runs by one of `SORTS`, runs without a value last, the newest first among equals."""
    column = F(_COLUMNS[by.removeprefix("-")])
    order: OrderBy = column.desc(nulls_last=True) if by.startswith("-") else column.asc(nulls_last=True)
    return runs.order_by(order, "-pk")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _matches(text: str) -> Q:
    found = (
        Q(dataset__name__icontains=text)
        | Q(recipe__icontains=text)
        | Q(config__architecture__icontains=text)
        | Q(owner__username__icontains=text)
    )
    is_number = text.isascii() and text.isdecimal() and len(text) <= 18  # a big integer's digits
    return found | Q(pk=int(text)) if is_number else found

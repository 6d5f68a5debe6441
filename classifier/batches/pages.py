"""How batches are put before a person; no template has to calculate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from classifier.batches.bodies import error_text
from classifier.models import BatchItem, BatchJob

ITEMS_PAGE: Final = 50
BATCHES_PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One answer of a batch, or the sentence that says why there is none."""

    item: BatchItem
    problem: str

    @property
    def is_right(self) -> bool | None:
        """Whether the answer is what the archive says; None where it says nothing."""
        item = self.item
        return item.class_key == item.expected_key if item.expected_key and item.class_key else None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some answers of a batch in the order of the archive; `earlier` and `later` are where the pages around begin."""

    lines: list[ItemLine]
    earlier: int | None
    later: int | None

    @property
    def key(self) -> str:
        """Return what differs when another page is to be shown: rows are added at its end alone."""
        return f"{len(self.lines)}-{self.later or 0}"


def item_page(job: BatchJob, *, start: int, wanted: dict[str, Any]) -> ItemPage:
    """Cut one page out of a batch's answers by place, so that no page is slower than the first.

    Args:
        job: The batch.
        start: The first place that is shown.
        wanted: Which ones are shown, as `of_interest` takes it.
    """
    found = BatchItem.objects.filter(batch=job).of_interest(**wanted)
    rows = list(found.filter(index__gte=start).defer("probabilities").order_by("index")[: ITEMS_PAGE + 1])
    before: list[int] = []
    if start:
        earlier = found.filter(index__lt=start).order_by("-index")
        before = list(earlier.values_list("index", flat=True)[:ITEMS_PAGE])
    return ItemPage(
        lines=[ItemLine(item, error_text(item) if item.error_code else "") for item in rows[:ITEMS_PAGE]],
        earlier=before[-1] if before else None,
        later=rows[ITEMS_PAGE].index if len(rows) > ITEMS_PAGE else None,
    )

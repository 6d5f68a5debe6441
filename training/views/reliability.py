"""The reliability diagram: for each range of confidence, how often the answers were right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

LEFT: Final = 44.0
TOP: Final = 8.0
SIDE: Final = 240.0
"""Left and upper edge of the diagram's square and its side, in the units of the template's SVG."""

_GAP: Final = 2.0
_FEWEST: Final = 20  # below, the share of right answers is mostly chance: its standard error exceeds a tenth


@dataclass(frozen=True, slots=True)
class ReliabilityBar:
    """One range of confidence that holds images.

    Attributes:
        low: Lower end of the range, a fraction.
        high: Upper end.
        confidence: Mean confidence of its answers.
        accuracy: Share of them that is right.
        count: Number of images.
        is_rare: Whether they are too few to tell much.
        x: Left edge of the bar.
        y: Upper edge, at the accuracy.
        width: Width of the bar.
        height: Height down to the axis.
        mark_y: Height of the mark at the mean confidence.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int
    is_rare: bool
    x: float
    y: float
    width: float
    height: float
    mark_y: float

    @property
    def end(self) -> float:
        """Right edge of the bar."""
        return self.x + self.width


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> tuple[ReliabilityBar, ...]:
    """Place a bar for each bin of the engine's `reliability_curve` that holds images."""
    step = 1 / max(1, len(bins))
    return tuple(
        ReliabilityBar(
            low=index * step,
            high=(index + 1) * step,
            confidence=found["confidence"],
            accuracy=found["accuracy"],
            count=found["count"],
            is_rare=found["count"] < _FEWEST,
            x=LEFT + SIDE * index * step + _GAP / 2,
            y=TOP + SIDE * (1 - found["accuracy"]),
            width=SIDE * step - _GAP,
            height=SIDE * found["accuracy"],
            mark_y=TOP + SIDE * (1 - found["confidence"]),
        )
        for index, found in enumerate(bins)
        if found["count"]
    )

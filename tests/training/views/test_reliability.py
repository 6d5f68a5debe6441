"""The reliability diagram's bars."""

from __future__ import annotations

from typing import Any

import pytest

from training.views.reliability import LEFT, SIDE, TOP, draw_reliability

EMPTY: dict[str, Any] = {"count": 0, "confidence": None, "accuracy": None}


def test_bars_stand_in_their_range_and_end_at_the_accuracy() -> None:
    bins = [
        EMPTY,
        {"count": 19, "confidence": 0.4, "accuracy": 0.25},
        EMPTY,
        {"count": 20, "confidence": 1.0, "accuracy": 1.0},
    ]
    low, high = draw_reliability(bins)
    assert (low.low, low.high, low.count, low.is_rare) == (0.25, 0.5, 19, True)
    assert (low.x, low.end) == (LEFT + SIDE / 4 + 1, LEFT + SIDE / 2 - 1)
    assert (low.y, low.height) == (TOP + 0.75 * SIDE, 0.25 * SIDE)
    assert low.mark_y == pytest.approx(TOP + 0.6 * SIDE)
    assert (high.y, high.height, high.mark_y, high.is_rare) == (TOP, SIDE, TOP, False)


def test_without_bins_there_is_no_diagram() -> None:
    assert draw_reliability([]) == ()
    assert draw_reliability([EMPTY]) == ()

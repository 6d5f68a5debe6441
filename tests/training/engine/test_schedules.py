"""Schedules have exact values at every position."""

from __future__ import annotations

import pytest

from training.engine.schedules import crop_size_at, decay_linearly


@pytest.mark.parametrize(("step", "factor"), [(0, 1.0), (1, 0.75), (2, 0.5), (3, 0.25), (4, 0.0), (9, 0.0)])
def test_rate_falls_straight_to_zero(step: int, factor: float) -> None:
    assert decay_linearly(step, steps=4) == factor


def test_no_steps_mean_no_learning() -> None:
    assert decay_linearly(0, steps=0) == 0.0


def test_sizes_grow_evenly_then_stay_full() -> None:
    sizes = [crop_size_at(epoch, epochs=10, start=16, full_from=0.8) for epoch in range(10)]
    assert sizes == [16, 18, 20, 22, 24, 26, 28, 30, 32, 32]


def test_sizes_are_even() -> None:
    assert [crop_size_at(epoch, epochs=4, start=20, full_from=0.75) for epoch in range(4)] == [20, 24, 28, 32]
    assert {crop_size_at(epoch, epochs=26, start=17, full_from=0.9) % 2 for epoch in range(26)} == {0}


def test_growth_can_be_switched_off() -> None:
    assert crop_size_at(0, epochs=8, start=16, full_from=0.0) == 32
    assert crop_size_at(0, epochs=8, start=32, full_from=1.0) == 32

"""Schedules have exact values at every position."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.engine.tiny_data import tiny_config
from training.engine.schedules import crop_size_at, cycle_once, decay_by_cosine, decay_linearly, rate_at, warm_up


def rates(steps: int = 8, plateaus: int = 0, **overrides: object) -> list[float]:
    """Return the factors of a run of epochs of two steps."""
    config = tiny_config(Path("d"), epochs=steps // 2, **overrides)
    return [rate_at(step, steps=steps, steps_per_epoch=2, config=config, plateaus=plateaus) for step in range(steps)]


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


def test_cosine_falls_through_one_half_to_zero() -> None:
    assert [decay_by_cosine(step, steps=4) for step in (0, 2, 4, 9)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert decay_by_cosine(1, steps=3) == pytest.approx(0.75)
    assert decay_by_cosine(0, steps=0) == 0.0


def test_warm_up_rises_straight_to_one() -> None:
    assert [warm_up(step, steps=3) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(("steps", "peak_position"), [(10, 0.3), (57, 0.1), (200, 0.45)])
def test_cycle_has_the_rates_of_torch(steps: int, peak_position: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=peak_position, cycle_momentum=False
    )
    expected = []
    for _ in range(steps - 1):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected.append(schedule.get_last_lr()[0])
    assert [cycle_once(step, steps=steps, peak_position=peak_position) for step in range(steps)] == pytest.approx(
        expected, abs=1e-12
    )


def test_cycle_too_short_to_rise_begins_at_its_peak() -> None:
    assert cycle_once(0, steps=2, peak_position=0.5) == 1.0
    assert cycle_once(0, steps=1, peak_position=0.3) < 1.0  # one step lies between the peak and the end


def test_linear_without_warm_up_is_the_plain_decay() -> None:
    assert rates(schedule="linear") == [decay_linearly(step, steps=8) for step in range(8)]


def test_decay_begins_where_the_warm_up_ends() -> None:
    assert rates(schedule="linear", warmup_epochs=1.0) == pytest.approx(
        [1 / 3, 2 / 3, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )
    cosine = rates(schedule="cosine", warmup_epochs=1.0)
    assert cosine[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert cosine[5] == pytest.approx(0.5)


def test_step_schedule_falls_after_each_number_of_epochs() -> None:
    falls = rates(schedule="step", step_epochs=2, decay_factor=0.5)
    assert falls == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    assert rates(schedule="step", step_epochs=1, decay_factor=0.5)[-1] == 0.125


def test_plateau_schedule_falls_with_each_plateau() -> None:
    assert rates(schedule="plateau", plateau_patience=2, decay_factor=0.1) == [1.0] * 8
    assert rates(schedule="plateau", plateau_patience=2, decay_factor=0.1, plateaus=2) == pytest.approx([0.01] * 8)
    warmed = rates(schedule="plateau", plateau_patience=2, warmup_epochs=1.0)
    assert warmed == pytest.approx([1 / 3, 2 / 3, *[1.0] * 6])


def test_one_cycle_is_chosen_by_name() -> None:
    assert rates(schedule="one_cycle", peak_position=0.5) == [
        cycle_once(step, steps=8, peak_position=0.5) for step in range(8)
    ]


@pytest.mark.parametrize("changes", [{}, {"schedule": "one_cycle"}, {"schedule": "step", "step_epochs": 1}])
def test_after_the_last_step_nothing_is_learned(changes: dict[str, object]) -> None:
    config = tiny_config(Path("d"), **changes)
    assert rate_at(0, steps=0, steps_per_epoch=2, config=config) == 0.0
    assert rate_at(4, steps=4, steps_per_epoch=2, config=config) == 0.0

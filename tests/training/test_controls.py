"""The interval of a difference, and which runs are compared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import TrainingRunFactory, make_transfer_run
from training.choices import JobStatus
from training.controls import find_counterpart, interval_of_difference, measure_difference


def metrics_of(accuracy: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "per_class": [{"support": 5_000}, {"support": 5_000}]}


def test_newcombe_s_own_example() -> None:
    """Table II of the paper: 9 of 10 against 3 of 10, by method 10."""
    low, high = interval_of_difference(0.9, 0.3, count=10)
    assert [low, high] == pytest.approx([0.1705, 0.8090], abs=1e-4)


def test_large_counts_give_the_textbook_interval() -> None:
    low, high = interval_of_difference(0.75, 0.7, count=10_000)
    half = 1.959964 * ((0.75 * 0.25 + 0.7 * 0.3) / 10_000) ** 0.5
    assert [low, high] == pytest.approx([0.05 - half, 0.05 + half], abs=1e-4)


def test_perfect_answers_are_not_certain() -> None:
    low, high = interval_of_difference(1.0, 1.0, count=100)
    assert low == -high < 0


@pytest.mark.django_db
class TestCounterpart:
    def test_each_finds_the_other(self) -> None:
        run = make_transfer_run(metrics=metrics_of(0.75))
        assert find_counterpart(run) is None
        control = TrainingRunFactory.create(control_of=run, status=JobStatus.SUCCEEDED, metrics=metrics_of(0.7))
        assert (find_counterpart(run), find_counterpart(control)) == (control, run)
        differences = [measure_difference(run, control), measure_difference(control, run)]
        assert differences[0] == differences[1]
        assert differences[0] is not None
        assert (differences[0].accuracy, differences[0].control_accuracy) == (0.75, 0.7)
        assert differences[0].mean == pytest.approx(0.05)
        assert differences[0].test_count == 10_000

    def test_one_that_failed_is_passed_over(self) -> None:
        run = make_transfer_run()
        TrainingRunFactory.create(control_of=run, status=JobStatus.FAILED)
        assert find_counterpart(run) is None

    def test_there_is_no_difference_before_both_are_tested(self) -> None:
        run = make_transfer_run(metrics=metrics_of(0.75))
        control = TrainingRunFactory.create(control_of=run)
        assert find_counterpart(run) == control
        assert measure_difference(run, control) is None

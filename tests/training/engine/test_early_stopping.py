"""Counting epochs without improvement, exactly."""

from __future__ import annotations

import json

import pytest

from training.engine.early_stopping import EarlyStopping, Mode, Plateau


def test_the_usual_patience_is_ten_epochs_and_a_thousandth() -> None:
    watch = EarlyStopping()
    assert (watch.patience, watch.min_delta, watch.mode) == (10, 0.001, "min")
    watch.observe(1.0)
    for epoch in range(10):
        assert not watch.is_time, epoch
        watch.observe(1.0)
    assert watch.is_time


@pytest.mark.parametrize(
    ("mode", "figures", "bad_epochs"),
    [
        ("min", [1.0, 0.9, 0.95, 0.95], 2),
        ("min", [1.0, 0.95, 0.9], 0),  # less than min_delta below 1.0, then enough below it
        ("max", [0.5, 0.7, 0.6], 1),
        ("max", [0.5, 0.4, 0.3], 2),
        ("max", [0.5, 0.5625], 1),  # exactly min_delta is not more than it
    ],
)
def test_only_more_than_min_delta_improves(mode: Mode, figures: list[float], bad_epochs: int) -> None:
    watch = EarlyStopping(patience=3, min_delta=0.0625, mode=mode)
    for figure in figures:
        watch.observe(figure)
    assert watch.bad_epochs == bad_epochs
    assert not watch.is_time


def test_slow_drift_is_measured_against_the_best_and_not_the_last() -> None:
    watch = EarlyStopping(patience=2, min_delta=0.1, mode="max")
    for figure in (0.5, 0.55, 0.61):
        watch.observe(figure)
    assert (watch.best, watch.bad_epochs) == (0.61, 0)


def test_a_figure_that_is_not_a_number_is_no_improvement() -> None:
    watch = EarlyStopping(patience=1)
    watch.observe(1.0)
    watch.observe(float("nan"))
    assert watch.is_time


def test_plateaus_are_counted_with_fresh_patience() -> None:
    plateau = Plateau(EarlyStopping(patience=2, mode="max"))
    counts = []
    for figure in (0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.6):
        plateau.observe(figure)
        counts.append(plateau.count)
    assert counts == [0, 0, 1, 1, 2, 2, 2]


def test_state_survives_json() -> None:
    plateau = Plateau(EarlyStopping(patience=2, mode="max"))
    for figure in (0.5, 0.5, 0.5, 0.5):
        plateau.observe(figure)
    other = Plateau(EarlyStopping(patience=2, mode="max"))
    other.load_state_dict(json.loads(json.dumps(plateau.state_dict())))
    assert other.state_dict() == {"best": 0.5, "bad_epochs": 1, "count": 1}
    other.observe(0.5)
    assert other.count == 2

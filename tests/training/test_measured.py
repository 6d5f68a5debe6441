"""The figures that ship with the site are those of the result files, and say what a reader needs to believe them."""

from __future__ import annotations

import json

import pytest

from bench.summary import SUMMARY, summarise
from training.engine.recipes import RECIPES
from training.measured import Measurement, read_measured

ROWS = [*read_measured().all_images, *read_measured().few_images]


def test_the_summary_is_in_step_with_the_results() -> None:
    assert json.loads(SUMMARY.read_text()) == summarise(), "run `python -m bench.summary`"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.key}-{row.images}")
def test_every_figure_says_where_it_comes_from(row: Measurement) -> None:
    assert row.n >= 1
    assert row.lowest <= row.accuracy <= row.highest
    assert row.processor
    assert row.threads >= 1
    assert row.precision in {"bfloat16", "float16", "float32"}
    assert row.command.startswith("python ")
    assert row.recipe in {"", *RECIPES}


def test_figures_are_sorted() -> None:
    every, few = read_measured().all_images, read_measured().few_images
    assert list(every) == sorted(every, key=lambda row: row.accuracy)
    assert list(few) == sorted(few, key=lambda row: (row.images, row.accuracy))


def test_of_an_arm_that_was_tuned_the_chosen_rate_counts() -> None:
    """Runs at other rates stand in the file as well."""
    [two_phases] = [row for row in ROWS if row.key == "two_phases" and row.images == 455]
    assert (two_phases.n, two_phases.accuracy) == (5, 0.69408)

"""Playing the queue through."""

from __future__ import annotations

import math

import pytest

from training.forecast import Entry, foresee_starts

NOBODY = None


def run(pk: int, seconds: float = 100.0, *, owner: int | None = NOBODY, after: int | None = None) -> Entry:
    return Entry(pk, owner, after, seconds)


@pytest.mark.parametrize(
    ("running", "lanes", "starts"),
    [
        ([], 1, {1: 0, 2: 100, 3: 150}),
        ([], 2, {1: 0, 2: 0, 3: 50}),
        ([], 3, {1: 0, 2: 0, 3: 0}),
        ([run(9, 30)], 1, {1: 30, 2: 130, 3: 180}),
        ([run(9, 30), run(8, 70)], 2, {1: 30, 2: 70, 3: 120}),
        ([run(9, math.inf)], 1, {}),
        ([run(9, math.inf), run(8, 70)], 2, {1: 70, 2: 170, 3: 220}),
    ],
)
def test_runs_begin_as_soon_as_one_ends(running: list[Entry], lanes: int, starts: dict[int, float]) -> None:
    queued = [run(1, 100), run(2, 50), run(3, 10)]
    assert foresee_starts(queued, running=running, lanes=lanes, limit=None) == starts


def test_behind_a_run_that_takes_nobody_knows_how_long_nothing_is_known() -> None:
    queued = [run(1), run(2, math.inf), run(3), run(4)]
    assert foresee_starts(queued, running=[], lanes=1, limit=None) == {1: 0, 2: 100}


def test_a_run_begins_after_the_one_that_it_follows() -> None:
    queued = [run(1, after=2), run(2, after=9), run(3, 10)]
    assert foresee_starts(queued, running=[run(9, 30)], lanes=2, limit=None) == {3: 0, 2: 30, 1: 130}


def test_a_run_that_follows_one_that_will_not_come_never_begins() -> None:
    assert foresee_starts([run(1, after=7), run(2)], running=[], lanes=1, limit=None) == {2: 0}


def test_others_overtake_the_runs_of_an_owner_who_has_enough_at_work() -> None:
    queued = [run(1, owner=5), run(2, owner=5), run(3, owner=6), run(4), run(5)]
    starts = foresee_starts(queued, running=[run(9, 30, owner=5)], lanes=4, limit=1)
    assert starts == {3: 0, 4: 0, 5: 0, 1: 30, 2: 130}

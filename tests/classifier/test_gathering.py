"""Gathered work: alone without a wait, together when several wait, and each thread gets its own result or error."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from classifier.gathering import Gathering


class Work:
    """Doubles numbers; its first go takes until it is released."""

    def __init__(self) -> None:
        self.goes: list[list[int]] = []
        self.entered, self.release = threading.Event(), threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.goes.append(list(items))
        if len(self.goes) == 1:
            self.entered.set()
            assert self.release.wait(10)
        if -1 in items:
            raise ValueError(f"{len(items)} items")
        if -2 in items:
            raise OSError(f"{len(items)} items")
        return [2 * item for item in items]


def run(work: Work, first: int, later: Sequence[int], *, limit: int = 8) -> dict[int, object]:
    """Ask for `first`, and for `later` while it is at work; return what each got."""
    gathering = Gathering(work, limit=limit, alone_after=(ValueError,))
    found: dict[int, object] = {}

    def ask(item: int) -> None:
        try:
            found[item] = gathering.ask(item)
        except (ValueError, OSError) as error:
            found[item] = error

    threads = [threading.Thread(target=ask, args=(item,)) for item in (first, *later)]
    threads[0].start()
    assert work.entered.wait(10)
    for number, thread in enumerate(threads[1:], start=1):
        thread.start()
        while len(gathering._waiting) < number:
            pass
    work.release.set()
    for thread in threads:
        thread.join(10)
    assert not gathering._is_busy
    return found


def test_alone_nobody_waits() -> None:
    gathering = Gathering[int, int](lambda items: [2 * item for item in items], limit=8)
    assert [gathering.ask(item) for item in (1, 2, 3)] == [2, 4, 6]


def test_what_waits_is_done_in_one_go() -> None:
    work = Work()
    assert run(work, 1, [2, 3, 4]) == {1: 2, 2: 4, 3: 6, 4: 8}
    assert work.goes == [[1], [2, 3, 4]]


def test_no_more_than_the_limit_at_once() -> None:
    work = Work()
    assert run(work, 1, [2, 3, 4], limit=2) == {1: 2, 2: 4, 3: 6, 4: 8}
    assert work.goes == [[1], [2, 3], [4]]


def test_one_bad_item_fails_alone() -> None:
    work = Work()
    found = run(work, 1, [2, -1, 3])
    assert {key: found[key] for key in (1, 2, 3)} == {1: 2, 2: 4, 3: 6}
    assert repr(found[-1]) == "ValueError('1 items')"


def test_an_error_that_is_everybodys_reaches_everybody_and_nothing_is_done_twice() -> None:
    work = Work()
    found = run(work, 1, [2, -2, 3])
    assert found[1] == 2
    errors = [found[key] for key in (2, -2, 3)]
    assert [repr(error) for error in errors] == ["OSError('3 items')"] * 3
    assert len({id(error) for error in errors}) == 3
    assert work.goes == [[1], [2, -2, 3]]


def test_an_error_of_one_alone_is_raised_as_it_is() -> None:
    work = Work()
    work.release.set()
    gathering = Gathering(work, limit=8, alone_after=(ValueError,))
    with pytest.raises(ValueError, match="1 items"):
        gathering.ask(-1)
    assert gathering.ask(5) == 10


def test_a_thousand_answers_from_sixteen_threads_are_not_mixed_up() -> None:
    gathering = Gathering[int, int](lambda items: [2 * item for item in items], limit=4)
    wrong: list[int] = []

    def ask(base: int) -> None:
        wrong.extend(item for item in range(base, base + 1000) if gathering.ask(item) != 2 * item)

    threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []

"""A word now and then, however often there would be something to say."""

from __future__ import annotations

import pytest

from training.engine.progress import REPEAT_SECONDS, repeat_slowly


def test_what_is_repeated_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("training.engine.progress.time.monotonic", lambda: clock[0])
    done: list[float] = []
    act = repeat_slowly(lambda: done.append(clock[0]))
    first, second = 101 + REPEAT_SECONDS, 101 + 2 * REPEAT_SECONDS
    for clock[0] in (100.0, first - 1.1, first, first + 1, second):
        act()
    assert done == [first, second]

"""Events are single lines of strict JSON that read back as they were."""

from __future__ import annotations

import json

import pytest

from training.engine.events import emit, finite, parse_line


def test_event_is_one_line_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    emit("progress", done=1, total=2, message="line\nbreak")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert parse_line(line) == {"event": "progress", "done": 1, "total": 2, "message": "line\nbreak"}


def test_numbers_that_are_not_finite_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit("epoch_end", train_loss=float("nan"), metrics={"nested": [float("inf"), 1.5]})
    message = json.loads(capsys.readouterr().out)
    assert message == {"event": "epoch_end", "train_loss": None, "metrics": {"nested": [None, 1.5]}}


@pytest.mark.parametrize("line", ["", "hello", "[1]", "3", '{"event": "party"}', '{"loss": 1}', '{"event": "step"'])
def test_foreign_lines_are_no_events(line: str) -> None:
    assert parse_line(line) is None


def test_finite_copies_tuples_to_lists() -> None:
    assert finite((1.0, {"a": float("-inf")})) == [1.0, {"a": None}]

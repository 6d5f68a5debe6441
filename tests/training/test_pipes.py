"""Reading a process's output without waiting for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

import pytest

from training import pipes
from training.pipes import LineReader, printable


@pytest.fixture
def pipe() -> Iterator[tuple[IO[str], IO[bytes]]]:
    reading, writing = os.pipe()
    with os.fdopen(reading) as source, os.fdopen(writing, "wb", buffering=0) as target:
        yield source, target


def test_lines_arrive_whole_however_they_are_cut(pipe: tuple[IO[str], IO[bytes]]) -> None:
    source, target = pipe
    lines: list[str] = []
    reader = LineReader(source, lines.append)
    assert reader.read() is True  # nothing there: no waiting
    target.write("première\ndeu".encode())
    assert reader.read() is True
    target.write("xième\n\ntrois".encode())
    assert reader.read() is True
    assert lines == ["première", "deuxième", ""]
    target.close()
    assert reader.read() is False
    assert lines == ["première", "deuxième", "", "trois"]


def test_bytes_that_are_no_text_are_replaced(pipe: tuple[IO[str], IO[bytes]]) -> None:
    source, target = pipe
    lines: list[str] = []
    target.write(b"\xff\xfe!\n")
    LineReader(source, lines.append).read()
    assert lines == ["\ufffd\ufffd!"]


def test_a_line_that_is_too_long_is_dropped(pipe: tuple[IO[str], IO[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "_LONGEST_LINE_BYTES", 10)
    source, target = pipe
    lines: list[str] = []
    reader = LineReader(source, lines.append)
    target.write(b"0123456789abc")
    reader.read()
    target.write(b"def\nshort\n")
    reader.read()
    assert lines == ["short"]


def test_draining_does_not_wait_for_a_stranger_that_holds_the_pipe(pipe: tuple[IO[str], IO[bytes]]) -> None:
    source, target = pipe
    lines: list[str] = []
    reader = LineReader(source, lines.append)
    target.write(b"a\n" * 30_000 + b"last")
    reader.drain()
    assert len(lines) == 30_001
    assert lines[-1] == "last"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n", "plain"),
        ("  0%\r 50%\r100% done\n", "100% done"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("x" * 600, "x" * 500),
    ],
)
def test_log_lines_are_made_printable(text: str, shown: str) -> None:
    assert printable(text) == shown

"""Reading another process's output line by line without ever waiting for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Final

_CHUNK_BYTES: Final = 65_536
# An import's manifest lists every file that was left out: at most 300,000 entries of some 150 bytes.
_LONGEST_LINE_BYTES: Final = 64 * 1024 * 1024
_LONGEST_SHOWN: Final = 500  # characters of a log line


class LineReader:
    """Cuts what arrives on a pipe into lines.

    Args:
        stream: The pipe's reading end; it is made non-blocking.
        take_line: Called with each line, without its end.
    """

    def __init__(self, stream: IO[str], take_line: Callable[[str], None]) -> None:
        self._descriptor = stream.fileno()
        self._take_line = take_line
        self._parts: list[bytes] = []
        self._length = 0
        os.set_blocking(self._descriptor, False)

    def read(self) -> bool:
        """Take in what is there.

        Returns:
            False at the end of the stream.
        """
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._take(chunk)
        return bool(chunk)

    def drain(self) -> None:
        """Take in what is left after the writers have ended; a stranger that still holds the pipe is not waited for."""
        while True:
            try:
                chunk = os.read(self._descriptor, _CHUNK_BYTES)
            except BlockingIOError:
                chunk = b""
            self._take(chunk)
            if not chunk:
                return

    def _take(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._keep(line)
            self._end_line()
        self._keep(rest)
        if not chunk and self._parts:
            self._end_line()

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if part and self._length <= _LONGEST_LINE_BYTES:
            self._parts.append(part)

    def _end_line(self) -> None:
        if self._length <= _LONGEST_LINE_BYTES:  # a longer one is no event of ours
            self._take_line(b"".join(self._parts).decode(errors="replace"))
        self._parts.clear()
        self._length = 0


def printable(text: str) -> str:
    """Return a log line fit to be stored and shown: what a terminal would end up with, no control characters."""
    shown = text.rstrip().rsplit("\r", 1)[-1]
    return "".join(character if character.isprintable() else " " for character in shown)[:_LONGEST_SHOWN]

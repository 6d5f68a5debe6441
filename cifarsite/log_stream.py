"""One log out of many processes: every line carries the name of the process that wrote it."""

from __future__ import annotations

import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import TextIO

_LINE_END = re.compile(rb"\r\n|\n|\r")
_RESET = "\x1b[0m"
_COLOURS = {"up": 1, "web": 32, "training": 35, "worker": 36, "beat": 33, "valkey": 34}  # SGR codes; others stay plain


class LogStream:
    """Writes lines with a prefix, coloured when the output is a terminal and NO_COLOR (no-color.org) is not set.

    Args:
        output: where the lines go.
        width: room for the longest name, so that the texts line up.
        as_json: make every line an object, with the name as its `process`, instead of giving it a prefix.
    """

    def __init__(self, output: TextIO, *, width: int = 8, as_json: bool = False) -> None:
        self._output = output
        self._width = width
        self._as_json = as_json
        self._coloured = output.isatty() and not os.environ.get("NO_COLOR")
        self._partial: dict[str, bytes] = {}
        self.is_broken = False

    def say(self, name: str, text: str) -> None:
        """Write one line in the name of a process."""
        if self._as_json:
            self.announce(json.dumps({**_read_record(text, logger=name), "process": name}))
            return
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\x1b[{_COLOURS.get(name, 0)}m{prefix}{_RESET}"
        self.announce(f"{prefix} {text}")

    def announce(self, text: str) -> None:
        """Write a line without a prefix: what a person or a script waits for.

        When nobody reads any more, `is_broken` becomes true and the text is dropped.
        """
        if self.is_broken:
            return
        try:
            self._output.write(text + "\n")
            self._output.flush()
        except BrokenPipeError:
            self.is_broken = True

    def feed(self, name: str, data: bytes) -> None:
        """Take bytes as a process wrote them; complete lines go out, the rest waits for its end."""
        *lines, self._partial[name] = _LINE_END.split(self._partial.get(name, b"") + data)
        for line in lines:
            if line.strip():
                self.say(name, line.decode(errors="replace"))

    def flush(self, name: str) -> None:
        """Write what an ended process left without a line end."""
        self.feed(name, b"\n")


def _read_record(text: str, *, logger: str) -> dict[str, object]:
    """Return the record that a line holds; a line that somebody just printed becomes one."""
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if isinstance(record, dict):
        return record
    return {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "logger": logger, "event": text}


class LogStreamHandler(logging.Handler):
    """Sends this process's own log records to the stream.

    Args:
        stream: receives them.
        name: this process, as the stream calls it.
    """

    def __init__(self, stream: LogStream, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._process = name

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, line by line."""
        for line in self.format(record).splitlines():
            self._stream.say(self._process, line)

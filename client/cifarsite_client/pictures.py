"""Pictures on their way to the site: where they come from, and how many go into one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cifarsite_client.errors import CifarsiteError

REQUEST_PICTURES: Final = 32
"""How many pictures a site takes in one request unless it is set otherwise."""

REQUEST_BYTES: Final = 32 * 2**20
"""Well below what a site takes in one request unless it is set otherwise."""

UNKNOWN_TYPE: Final = "application/octet-stream"
"""Of every file: the site looks at the bytes."""


class UnreadableFileError(CifarsiteError):
    """A file on this machine cannot be read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file's content and the name that it goes by."""

    data: bytes
    name: str

    @property
    def part(self) -> tuple[str, bytes, str]:
        """The picture as a part of a form."""
        return self.name, self.data, UNKNOWN_TYPE


PictureSource = str | Path | bytes | Picture


def load_picture(source: PictureSource) -> Picture:
    """Return the picture at a path, or of some bytes.

    Raises:
        UnreadableFileError: there is no such file, or it cannot be read.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, bytes):
        return Picture(source, "picture")
    path = Path(source)
    with open_file(path) as file:
        return Picture(file.read(), path.name)


def open_file(path: Path) -> BinaryIO:
    """Open a file to send it.

    Raises:
        UnreadableFileError: there is no such file, or it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise UnreadableFileError(message) from error


def group(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """Cut pictures into groups that fit into one request each; one that is too large by itself goes alone."""
    waiting: list[Picture] = []
    size = 0
    for picture in pictures:
        if waiting and (len(waiting) == REQUEST_PICTURES or size + len(picture.data) > REQUEST_BYTES):
            yield waiting
            waiting, size = [], 0
        waiting.append(picture)
        size += len(picture.data)
    if waiting:
        yield waiting

"""A ZIP archive that is sent while it is written, in memory that does not grow with the number of its files.

Python's own writer keeps an object for each file until the end, where the archive's directory is written. Here these
wait in a temporary file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Final

from django.utils import timezone

_KEPT: Final = (
    *("CRC", "compress_size", "file_size", "header_offset", "flag_bits"),
    *("compress_type", "external_attr", "create_version", "extract_version"),
)
"""What the directory tells of a file, besides its name and moment."""

_PART_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive; pictures are compressed already."""

    name: str
    parts: Iterable[bytes]
    is_picture: bool = False


def write_zip(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield an archive of the entries, each of which is asked for its parts when the one before has been sent."""
    outlet = _Outlet()
    now = timezone.now().timetuple()[:6]
    with (
        TemporaryFile("w+", encoding="utf-8") as waiting,
        TemporaryFile() as directory,
        zipfile.ZipFile(outlet, "w") as archive,  # type: ignore[call-overload]  # it needs no more
    ):
        archive.filelist = _Directory(waiting)
        archive.NameToInfo = _NoNames()
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, date_time=now)
            info.compress_type = zipfile.ZIP_STORED if entry.is_picture else zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=True) as file:
                for part in entry.parts:
                    file.write(part)
                    yield outlet.take()
            yield outlet.take()
        outlet.turn_to(directory)
        archive.close()
        directory.seek(0)
        while part := directory.read(_PART_BYTES):
            yield part


class _Outlet:
    """Where the archive is written to, and taken from a piece at a time; at last a file, for its directory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def turn_to(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        if self._file is not None:
            return self._file.write(data)
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class _Directory(list[zipfile.ZipInfo]):
    """What the writer takes for its list of files: each waits in a file, and is read again when the directory is."""

    def __init__(self, waiting: IO[str]) -> None:
        super().__init__()
        self._waiting = waiting
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, info: zipfile.ZipInfo) -> None:
        kept = [info.filename, info.date_time, *(getattr(info, name) for name in _KEPT)]
        self._waiting.write(json.dumps(kept) + "\n")
        self._count += 1

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._waiting.seek(0)
        for line in self._waiting:
            name, moment, *values = json.loads(line)
            info = zipfile.ZipInfo(name, date_time=tuple(moment))
            for attribute, value in zip(_KEPT, values, strict=True):
                setattr(info, attribute, value)
            yield info


class _NoNames(dict[str, zipfile.ZipInfo]):
    """What the writer takes for its index by name, which only a reader needs."""

    def __setitem__(self, name: str, info: zipfile.ZipInfo) -> None:
        """Keep nothing."""

"""The pictures of an archive that are to be answered, in the same order each time, with the faults of bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from training.engine.archive_rules import (
    ArchiveError,
    ArchiveLimits,
    DamagedEntryError,
    StoredEntry,
    refuse_nested_archive,
)
from training.engine.archives import walk_archive

LABELS_NAME: Final = "labels.csv"
"""Base name of entries that are lists of labels, not pictures."""

EntryFault = Literal["", "too_many_bytes", "broken", "nested"]


@dataclass(frozen=True, slots=True)
class PictureEntry:
    """One entry.

    Attributes:
        index: Its place among them, from 0.
        name: As the archive has it.
        data: Its bytes; empty where there is a fault.
        fault: Why it is not read.
    """

    index: int
    name: str
    data: bytes
    fault: EntryFault


def iterate_pictures(
    path: Path, *, limits: ArchiveLimits, max_picture_bytes: int, skip: int, on_entry: Callable[[], None]
) -> Iterator[PictureEntry]:
    """Yield the entries of an archive, those that are no pictures included.

    Args:
        path: The archive.
        limits: What it may hold.
        max_picture_bytes: Of one entry that is read.
        skip: How many are known already.
        on_entry: Called at every entry, those that are skipped included.

    Raises:
        ArchiveError: Nothing after what was yielded can be read.
        OSError: Likewise, because of the disk.
    """
    index = -1
    for entry in walk_archive(path, limits=limits):
        on_entry()
        if is_list(entry.name):
            continue
        index += 1
        if index >= skip:
            data, fault = _read(entry, max_bytes=max_picture_bytes)
            yield PictureEntry(index, entry.name, data, fault)


def is_list(name: str) -> bool:
    """Whether an entry is a list of labels."""
    return name.rpartition("/")[2] == LABELS_NAME


def _read(entry: StoredEntry, *, max_bytes: int) -> tuple[bytes, EntryFault]:
    if entry.size > max_bytes:
        return b"", "too_many_bytes"
    try:
        data = entry.read()
    except DamagedEntryError:
        return b"", "broken"
    try:
        refuse_nested_archive(entry.name, data)
    except ArchiveError:
        return b"", "nested"
    return data, ""

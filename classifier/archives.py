"""Archives of pictures to classify: looked at when they arrive, read one entry after the other when their turn comes.

The rules are those of dataset imports (`training.engine.archives`). What concerns the archive as a whole refuses it;
one picture that cannot be read is an error of its own, and the others are answered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.utils.translation import gettext as _

from classifier.images import ImageRejected, refusal_of
from classifier.labels import MOST_BYTES, BadLabelsError, Labels
from training.archive_texts import describe_refusal
from training.engine.archive_rules import MEBIBYTE, DamagedEntryError, refuse_nested_archive
from training.engine.archives import ArchiveError, ArchiveLimits, StoredEntry, is_zip, walk_archive
from training.engine.picture_entries import LABELS_NAME, is_list, iterate_pictures

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

SURVEY_SECONDS: Final = 1.2
"""For how long an archive that arrives is read, beyond its directory; a request is answered within two seconds."""

_ENTRY_BYTES: Final = 256 * MEBIBYTE  # larger ones refuse the archive; pictures have a limit of their own below it


class ArchiveRejected(Exception):  # noqa: N818  says what happened
    """An archive that is not taken.

    Args:
        code: What is wrong, for programs.
        status: The HTTP status that says so: 413 or 422.
        detail: What is wrong, in the reader's language.
    """

    def __init__(self, code: str, status: int, detail: str | _StrPromise) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Survey:
    """What an archive holds.

    Attributes:
        pictures: How many entries are to be answered; None where the time was not enough to count them.
        labels: What its lists of labels say.
    """

    pictures: int | None
    labels: Labels


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry to be answered.

    Attributes:
        index: Its place among them, from 0.
        name: As the archive has it.
        data: Its bytes; empty where it is refused.
        refusal: Why it is not read.
    """

    index: int
    name: str
    data: bytes = b""
    refusal: ImageRejected | None = None


def _do_nothing() -> None:
    pass


def survey_archive(path: Path, *, seconds: float | None = None, on_entry: Callable[[], None] = _do_nothing) -> Survey:
    """Look through an archive.

    Args:
        path: The archive.
        seconds: Read and verify entries for so long; then of a zip the directory alone is looked at, and of a tar no
            more. None: count all of them and read none but lists of labels.
        on_entry: Called at every entry.

    Raises:
        ArchiveRejected: it is refused.
        OSError: it cannot be read.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    pictures, labels, has_directory = 0, Labels(), is_zip(path)
    try:
        for entry in walk_archive(path, limits=archive_limits()):
            on_entry()
            if is_list(entry.name):
                labels.read(entry.name, entry.read())
                continue
            pictures += 1
            refuse_nested_archive(entry.name)
            if deadline is not None:
                if time.monotonic() < deadline:
                    _verify(entry)
                elif not has_directory:
                    return Survey(None, labels)
    except ArchiveError as error:
        raise _reject(error) from error
    except BadLabelsError as error:
        raise ArchiveRejected("bad_labels", 422, str(error)) from error
    if not pictures:
        raise ArchiveRejected("empty", 422, _("There are no pictures in the archive."))
    return Survey(pictures, labels)


def read_entries(path: Path, *, skip: int = 0, on_entry: Callable[[], None] = _do_nothing) -> Iterator[Entry]:
    """Yield what is to be answered, in the same order each time.

    Args:
        path: The archive.
        skip: How many are known already.
        on_entry: Called at every entry, those that are skipped included.

    Raises:
        ArchiveRejected: the archive cannot be read any further.
        OSError: likewise, because of the disk.
    """
    entries = iterate_pictures(
        path,
        limits=archive_limits(),
        max_picture_bytes=settings.IMAGE_MAX_BYTES,
        skip=skip,
        on_entry=on_entry,
    )
    try:
        for entry in entries:
            yield Entry(entry.index, entry.name, entry.data, refusal_of(entry.fault) if entry.fault else None)
    except ArchiveError as error:
        raise _reject(error) from error


def archive_limits() -> ArchiveLimits:
    """Return what an archive of pictures may hold."""
    return ArchiveLimits(
        max_entries=settings.ARCHIVE_MAX_ITEMS,
        max_entry_bytes=_ENTRY_BYTES,
        named_entry_bytes={LABELS_NAME: MOST_BYTES},
        max_total_bytes=4 * settings.ARCHIVE_MAX_BYTES,
    )


def _verify(entry: StoredEntry) -> None:
    """Read an entry for what it tells about the archive; that it is damaged concerns nobody but itself.

    Raises:
        ArchiveError: the archive lies about it, or it is an archive.
    """
    if entry.size > settings.IMAGE_MAX_BYTES:
        return
    with contextlib.suppress(DamagedEntryError):
        refuse_nested_archive(entry.name, entry.read())


def _reject(error: ArchiveError) -> ArchiveRejected:
    code, detail = describe_refusal(error)
    return ArchiveRejected(code, 413 if error.too_large else 422, detail)

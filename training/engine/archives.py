"""Reading the files of an archive or a folder, one at a time, without ever writing to a path the source names.

An archive's kind is told by its first bytes, never by its name, which no sentence mentions either: an upload is stored
under a name that its owner has never seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from training.engine.archive_rules import (
    DEFAULT_LIMITS,
    TAR_MAGIC,
    TAR_MAGIC_OFFSET,
    ArchiveError,
    ArchiveLimits,
    EntryGuard,
    SourceEntry,
    StoredEntry,
    is_ignored,
    refuse_entry,
    refuse_nested_archive,
)
from training.engine.archives_tar import walk_tar
from training.engine.archives_zip import walk_zip

__all__ = [
    "DEFAULT_LIMITS",
    "ArchiveError",
    "ArchiveLimits",
    "SourceEntry",
    "StoredEntry",
    "count_files",
    "is_zip",
    "iterate_archive",
    "iterate_folder",
    "walk_archive",
]

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\x00"


def _ignore_folder(_name: str) -> None:
    """Do nothing: most readers have no use for folder entries."""


def iterate_archive(
    path: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS, on_folder: Callable[[str], None] = _ignore_folder
) -> Iterator[SourceEntry]:
    """Yield the files of a `.zip`, `.tar`, `.tar.gz` or `.tar.xz`, leaving out dot-files and `__MACOSX`.

    Args:
        path: The archive.
        limits: What is allowed.
        on_folder: Called with the name of each folder entry.

    Yields:
        Entries with their bytes; `position` counts packed bytes.

    Raises:
        ArchiveError: The archive or one of its entries is refused; what was yielded before must be thrown away.
        OSError: The archive cannot be read.
    """
    is_empty = True
    for entry in walk_archive(path, limits=limits, on_folder=on_folder):
        data = entry.read()
        refuse_nested_archive(entry.name, data)
        is_empty = False
        yield SourceEntry(entry.name, data, entry.position)
    if is_empty:
        raise ArchiveError("The archive contains no files.")


def walk_archive(
    path: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS, on_folder: Callable[[str], None] = _ignore_folder
) -> Iterator[StoredEntry]:
    """Yield the files of an archive as `iterate_archive` does, but read none: the caller does, or goes on.

    Before the first entry of a zip all names, stated sizes and headers have been checked, of a tar only its own.

    Args:
        path: The archive.
        limits: What is allowed.
        on_folder: Called with the name of each folder entry.

    Raises:
        ArchiveError: The archive or one of its entries is refused.
        OSError: The archive cannot be read.
    """
    guard = EntryGuard(limits=limits, packed_bytes=path.stat().st_size)
    head = _read_head(path)
    if not head:
        raise ArchiveError("The archive is empty.")
    if head.startswith(_ZIP_MAGICS):
        return walk_zip(path, guard=guard, limits=limits, on_folder=on_folder)
    if head.startswith(_GZIP_MAGIC):
        return walk_tar(path, compression="gz", guard=guard, on_folder=on_folder)
    if head.startswith(_XZ_MAGIC):
        return walk_tar(path, compression="xz", guard=guard, on_folder=on_folder)
    if head.endswith(TAR_MAGIC) or not any(head):
        return walk_tar(path, compression="none", guard=guard, on_folder=on_folder)
    raise ArchiveError("The file is not a .zip, .tar, .tar.gz or .tar.xz archive.")


def is_zip(path: Path) -> bool:
    """Whether an archive is a zip, whose directory tells what is in it before anything is unpacked.

    Raises:
        OSError: The archive cannot be read.
    """
    return _read_head(path).startswith(_ZIP_MAGICS)


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(TAR_MAGIC_OFFSET + len(TAR_MAGIC))


def iterate_folder(
    path: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS, on_folder: Callable[[str], None] = _ignore_folder
) -> Iterator[SourceEntry]:
    """Yield the files below a folder in sorted order, under the same rules as an archive's, leaving out dot-files.

    Args:
        path: The folder.
        limits: What is allowed; ratios do not apply.
        on_folder: Called with the name of each folder below `path`.

    Yields:
        Entries with their bytes; `position` counts files.

    Raises:
        ArchiveError: A link, a special file, or a name that is refused.
        OSError: The folder cannot be read.
    """
    guard = EntryGuard(limits=limits, packed_bytes=None)
    position = 0
    for current, folder_names, file_names in os.walk(path, onerror=_reraise):
        here = Path(current)
        folder_names.sort()
        for name in folder_names:
            folder = _admit_path(here / name, path, guard=guard)
            if not is_ignored(folder):
                on_folder(folder)
        folder_names[:] = [name for name in folder_names if not is_ignored(name)]
        for name in sorted(file_names):
            if is_ignored(name):
                continue
            entry_name = _admit_path(here / name, path, guard=guard)
            position += 1
            yield SourceEntry(entry_name, (here / name).read_bytes(), position)


def count_files(path: Path) -> int:
    """Return how many files `iterate_folder` will yield.

    Raises:
        OSError: The folder cannot be read.
    """
    return sum(
        not is_ignored((Path(current) / name).relative_to(path).as_posix())
        for current, _, file_names in os.walk(path, onerror=_reraise)
        for name in file_names
    )


def _reraise(error: OSError) -> None:
    raise error


def _admit_path(file: Path, root: Path, *, guard: EntryGuard) -> str:
    name = file.relative_to(root).as_posix()
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise refuse_entry(name, "is a symbolic link")
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise refuse_entry(name, "is a device or another special file")
    return guard.admit(name, size=0 if is_folder else status.st_size, is_folder=is_folder)

"""What an archive may contain: limits, entry names, and the error that refuses an entry by its name.

Nothing is ever extracted to a path an archive names: readers hand bytes over. The names are checked all the same,
because they decide splits and classes, end in manifests and pages, and because an archive that lies about a name lies
about the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from training.engine.exceptions import DatasetError

MEBIBYTE = 1024 * 1024

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_IGNORED_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "unlabeled_X.bin"})
_STL10_BYTES = {"train_X.bin": 138_240_000, "test_X.bin": 221_184_000}
_ARCHIVE_SUFFIXES = (
    ".zip", ".jar", ".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2", ".7z", ".rar", ".zst", ".lzma",
)  # fmt: skip
_ARCHIVE_MAGICS = (
    b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xfd7zXZ\x00",
    b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
TAR_MAGIC = b"ustar"
TAR_MAGIC_OFFSET = 257


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may hold and unfold to.

    Attributes:
        max_entries: Files and folders together. CIFAR-10 as images has 60,022.
        max_entry_bytes: Of one unpacked entry. The largest honest one, a CIFAR-10 binary batch, has 30,730,000.
        named_entry_bytes: Of entries whose base name is known to belong to more: STL-10's arrays.
        max_total_bytes: Of everything unpacked.
        max_ratio: Unpacked to packed bytes, of one entry and of the whole. Photographs stay under 2, tiny images in a
            tar around 5.
        ratio_floor_bytes: An entry that unpacks to less is never called a bomb: tiny flat BMPs shrink a hundredfold.
        total_ratio_floor_bytes: The same for the whole archive.
        max_name_characters: Of a full entry name.
        max_directory_bytes: Of a zip's central directory, which is read into memory before any entry can be counted.
    """

    max_entries: int = 300_000
    max_entry_bytes: int = 64 * MEBIBYTE
    named_entry_bytes: Mapping[str, int] = field(default_factory=_STL10_BYTES.copy)
    max_total_bytes: int = 8 * 1024 * MEBIBYTE
    max_ratio: int = 100
    ratio_floor_bytes: int = MEBIBYTE
    total_ratio_floor_bytes: int = 16 * MEBIBYTE
    max_name_characters: int = 512
    max_directory_bytes: int = 32 * MEBIBYTE

    @property
    def largest_entry_bytes(self) -> int:
        """What no entry that is read exceeds, whatever its name."""
        return max([self.max_entry_bytes, *self.named_entry_bytes.values()])

    def bytes_allowed(self, name: str) -> int:
        """Return how much the entry of that name may unpack to; what is ignored is never held in memory."""
        if is_ignored(name):
            return self.max_total_bytes
        return self.named_entry_bytes.get(name.rpartition("/")[2], self.max_entry_bytes)


DEFAULT_LIMITS = ArchiveLimits()


class SourceEntry(NamedTuple):
    """One file of a source.

    Attributes:
        name: Normalised name, parts separated by `/`.
        data: The file's bytes.
        position: How much of the source is behind us, in the source's own unit (packed bytes, or files of a folder).
    """

    name: str
    data: bytes
    position: int


class StoredEntry(NamedTuple):
    """One file of an archive whose bytes nobody has read yet.

    Attributes:
        name: Normalised name, parts separated by `/`.
        size: Unpacked bytes as the archive states them.
        position: How many packed bytes are behind us.
        read: Returns the bytes; only until the next entry is asked for. Raises `ArchiveError`.
    """

    name: str
    size: int
    position: int
    read: Callable[[], bytes]


class ArchiveError(DatasetError):
    """An archive that is refused.

    Args:
        detail: One sentence that names the entry.
        entry: The entry's name as it may be shown.
        too_large: Whether it was refused for its size (bomb, too many entries) rather than for its shape.
    """

    def __init__(self, detail: str, *, entry: str | None = None, too_large: bool = False) -> None:
        super().__init__(detail)
        self.entry = entry
        self.too_large = too_large


class DamagedEntryError(ArchiveError):
    """An entry whose bytes are not what was packed; the entries around it can be read all the same."""


def shown_name(name: str) -> str:
    """Return `name` fit for a sentence: unprintable characters escaped, at most 120 characters."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name[:200])
    return escaped if len(escaped) <= 120 else escaped[:119] + "…"


def refuse_entry(name: str, why: str, *, too_large: bool = False) -> ArchiveError:
    """Build the error whose sentence is the entry's name followed by `why`."""
    shown = shown_name(name)
    return ArchiveError(f"Entry '{shown}' {why}.", entry=shown, too_large=too_large)


def find_damage(name: str, why: str) -> DamagedEntryError:
    """Build the error whose sentence is the entry's name, `is damaged` and `why`."""
    shown = shown_name(name)
    return DamagedEntryError(f"Entry '{shown}' is damaged: {why}.", entry=shown)


def is_ignored(name: str) -> bool:
    """Return whether an entry is a desktop's litter, a dot-file, or STL-10's unlabelled images: 2.8 GB of no use."""
    return name.startswith(".") or "/." in name or not _IGNORED_NAMES.isdisjoint(name.split("/"))


def refuse_nested_archive(name: str, data: bytes = b"") -> None:
    """Refuse an entry that is itself an archive, by its name or by its first bytes.

    Raises:
        ArchiveError: The entry is an archive.
    """
    looks_packed = data.startswith(_ARCHIVE_MAGICS) or data.startswith(TAR_MAGIC, TAR_MAGIC_OFFSET)
    if looks_packed or name.lower().endswith(_ARCHIVE_SUFFIXES):
        raise refuse_entry(name, "is an archive inside the archive")


class EntryGuard:
    """Admits entries one by one and remembers what it needs to refuse the next.

    Args:
        limits: What is allowed.
        packed_bytes: Size of the archive file in bytes; None for a folder, which has no ratio.
    """

    def __init__(self, *, limits: ArchiveLimits, packed_bytes: int | None) -> None:
        self._limits = limits
        self._packed_bytes = packed_bytes
        self._small_bytes = min([limits.max_entry_bytes, *limits.named_entry_bytes.values()])
        self._entries = 0
        self._total_bytes = 0
        self._spellings: dict[str, tuple[str, bool]] = {}  # folded path → (first spelling, whether it is a folder)
        self._last_parent = ""

    def admit(self, name: str, *, size: int, is_folder: bool) -> str:
        """Check one entry.

        Args:
            name: The name as the archive states it.
            size: Unpacked bytes as the archive states them.
            is_folder: Whether the entry is a folder.

        Returns:
            The normalised name; empty for the root folder.

        Raises:
            ArchiveError: The name, the size or the number of entries is not allowed.
        """
        self._entries += 1
        if self._entries > self._limits.max_entries:
            raise refuse_entry(name, f"is one too many: at most {self._limits.max_entries:,} are read", too_large=True)
        if size < 0:
            raise refuse_entry(name, "has a negative size")
        if size > self._small_bytes and size > (allowed := self._limits.bytes_allowed(name)):
            raise refuse_entry(name, f"unpacks to more than {allowed:,} bytes", too_large=True)
        self._total_bytes += size
        self.check_expansion(self._total_bytes, name)
        normalised = self._normalise(name)
        if not normalised and not is_folder:
            raise refuse_entry(name, "has no name")
        if normalised:
            self._refuse_collision(normalised, is_folder=is_folder)
        return normalised

    def check_expansion(self, unpacked_bytes: int, name: str) -> None:
        """Refuse an archive that has unfolded beyond what its own size justifies.

        Raises:
            ArchiveError: More than `max_total_bytes`, or more than `max_ratio` times the archive's size.
        """
        limits = self._limits
        if unpacked_bytes > limits.max_total_bytes:
            raise refuse_entry(name, f"brings the total above {limits.max_total_bytes:,} bytes", too_large=True)
        if self._packed_bytes is None or unpacked_bytes <= limits.total_ratio_floor_bytes:
            return
        if unpacked_bytes > limits.max_ratio * self._packed_bytes:
            why = f"makes the archive unfold to over {limits.max_ratio} times its size"
            raise refuse_entry(name, why, too_large=True)

    def _normalise(self, name: str) -> str:
        if len(name) > self._limits.max_name_characters:
            raise refuse_entry(name, f"has a name of more than {self._limits.max_name_characters} characters")
        if _UNPRINTABLE.search(name):
            raise refuse_entry(name, "has a name that is not plain text")
        if "\\" in name:
            raise refuse_entry(name, "has a backslash in its name")
        if name.startswith("/") or _DRIVE.match(name):
            raise refuse_entry(name, "has an absolute path")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise refuse_entry(name, "climbs out of its folder with '..'")
        return "/".join(parts)

    def _refuse_collision(self, name: str, *, is_folder: bool) -> None:
        parent, _, _ = name.rpartition("/")
        if parent and parent != self._last_parent:
            parts = parent.split("/")
            for depth in range(1, len(parts) + 1):
                self._remember("/".join(parts[:depth]), is_folder=True)
            self._last_parent = parent
        self._remember(name, is_folder=is_folder)

    def _remember(self, name: str, *, is_folder: bool) -> None:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        known = self._spellings.get(folded)
        if known is None:
            self._spellings[folded] = (name, is_folder)
        elif known != (name, is_folder):
            raise refuse_entry(name, f"has the same name as '{shown_name(known[0])}' but for case, accents or kind")
        elif not is_folder:
            raise refuse_entry(name, "is there twice")

"""Reading tar archives, plain or compressed, in one pass and bounded memory.

Headers are decoded by the standard library; walking them is done here, because the library takes a broken header for
the end of the archive, keeps every member in memory, and follows extension headers of any length.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from training.engine.archive_rules import ArchiveError, EntryGuard, StoredEntry, is_ignored, refuse_entry, shown_name
from training.engine.xz_stream import XzStream

Compression = Literal["none", "gz", "xz"]

_BLOCK_BYTES = 512
_DRAIN_BYTES = 1024 * 1024
_MAX_EXTENSION_BYTES = 65_536  # an extension header carries a name and times; real ones are under 4 KiB
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_SKIPPED_TYPES = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_REFUSED_TYPES = {
    tarfile.SYMTYPE: "is a symbolic link",
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a named pipe",
    tarfile.GNUTYPE_SPARSE: "is a sparse file",
}
_START = "(the first entry)"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    is_folder: bool


class _TarStream:
    """The unpacked bytes of an archive, counted.

    Args:
        source: Where they come from.
        guard: Refuses an archive that unfolds too far.
    """

    def __init__(self, source: _Readable, *, guard: EntryGuard) -> None:
        self._source = source
        self._guard = guard
        self._unpacked_bytes = 0
        self.entry = _START

    def read_up_to(self, size: int) -> bytes:
        """Return up to `size` bytes, less only at the end.

        Raises:
            ArchiveError: The compressed stream is damaged or cut short, or unfolds too far.
        """
        chunks: list[bytes] = []
        missing = size
        while missing:
            try:
                chunk = self._source.read(missing)
            except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
                raise refuse_entry(self.entry, "is where the archive is damaged or cut short") from error
            if not chunk:
                break
            missing -= len(chunk)
            chunks.append(chunk)
        self._unpacked_bytes += size - missing
        self._guard.check_expansion(self._unpacked_bytes, self.entry)
        return b"".join(chunks)

    def read_padded(self, size: int) -> bytes:
        """Return exactly `size` bytes and step over the padding that follows them.

        Raises:
            ArchiveError: As `read_up_to`, or the archive ends too early.
        """
        padded = -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        data = self.read_up_to(padded)
        if len(data) < padded:
            raise refuse_entry(self.entry, "is cut short: the archive ends inside it")
        return data[:size]

    def skip_padded(self, size: int) -> None:
        """Step over `size` bytes and the padding that follows them, holding little of them.

        Raises:
            ArchiveError: As `read_padded`.
        """
        for start in range(0, size, _DRAIN_BYTES):
            self.read_padded(min(_DRAIN_BYTES, size - start))

    def drain(self) -> None:
        """Read what follows the end mark, so that the compressed stream's own checksum is verified.

        Raises:
            ArchiveError: As `read_up_to`.
        """
        while self.read_up_to(_DRAIN_BYTES):
            pass


def walk_tar(
    path: Path, *, compression: Compression, guard: EntryGuard, on_folder: Callable[[str], None]
) -> Iterator[StoredEntry]:
    """Yield the files of a tar archive.

    Args:
        path: The archive.
        compression: What it is packed with.
        guard: Admits names and sizes.
        on_folder: Called with the name of each folder entry.

    Yields:
        Entries in archive order.

    Raises:
        ArchiveError: The archive or one of its entries is refused.
    """
    with path.open("rb") as file:
        stream = _TarStream(_unpack(file, compression), guard=guard)
        while (member := _next_member(stream)) is not None:
            name = guard.admit(member.name, size=member.size, is_folder=member.is_folder)
            if is_ignored(name):
                stream.skip_padded(member.size)
                continue
            if member.is_folder:
                stream.skip_padded(member.size)
                on_folder(name)
                continue
            body = _Body(stream, member.size)
            yield StoredEntry(name, member.size, file.tell(), body.read)
            body.skip()
        stream.drain()


class _Body:
    """The bytes of one file, which are read once or stepped over."""

    def __init__(self, stream: _TarStream, size: int) -> None:
        self._stream = stream
        self._size = size
        self._is_behind = False

    def read(self) -> bytes:
        self._is_behind = True
        return self._stream.read_padded(self._size)

    def skip(self) -> None:
        if not self._is_behind:
            self._stream.skip_padded(self._size)


def _unpack(file: BinaryIO, compression: Compression) -> _Readable:
    if compression == "gz":
        return gzip.GzipFile(fileobj=file)
    return XzStream(file) if compression == "xz" else file


def _next_member(stream: _TarStream) -> _Member | None:
    """Read headers up to the next file or folder; None at the archive's end mark."""
    long_name: str | None = None
    pax: dict[str, str] = {}
    while True:
        block = stream.read_up_to(_BLOCK_BYTES)
        if len(block) < _BLOCK_BYTES:
            shown = shown_name(stream.entry)
            raise ArchiveError(f"The archive is cut short after entry '{shown}'.", entry=shown)
        if not any(block):
            return None
        header = _decode_header(block, after=stream.entry)
        if header.type in _PAX_TYPES:
            pax = _parse_pax(_read_extension(stream, header), entry=header.name)
        elif header.type == tarfile.GNUTYPE_LONGNAME:
            long_name = _read_extension(stream, header).rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif header.type in _SKIPPED_TYPES:
            _read_extension(stream, header)
        else:
            stream.entry = pax.get("path") or long_name or header.name
            return _describe(header, name=stream.entry, pax=pax)


def _decode_header(block: bytes, *, after: str) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise refuse_entry(after, "is followed by a damaged header") from error
    if header.size < 0:
        raise refuse_entry(header.name, "has a negative size")
    return header


def _read_extension(stream: _TarStream, header: tarfile.TarInfo) -> bytes:
    if header.size > _MAX_EXTENSION_BYTES:
        why = f"is an extension header of over {_MAX_EXTENSION_BYTES:,} bytes"
        raise refuse_entry(header.name, why, too_large=True)
    return stream.read_padded(header.size)


def _parse_pax(data: bytes, *, entry: str) -> dict[str, str]:
    """Parse a pax extended header: lines of `length key=value`, the length counting the whole line in bytes."""
    records: dict[str, str] = {}
    while data:
        length_text, _, _ = data.partition(b" ")
        length = int(length_text) if length_text.isdigit() and len(length_text) <= 6 else 0
        record = data[len(length_text) + 1 : length - 1]
        key, equals, value = record.partition(b"=")
        if not equals or data[length - 1 : length] != b"\n":
            raise refuse_entry(entry, "has a damaged extension header")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    return records


def _describe(header: tarfile.TarInfo, *, name: str, pax: dict[str, str]) -> _Member:
    if header.type in _REFUSED_TYPES:
        raise refuse_entry(name, _REFUSED_TYPES[header.type])
    if any(key.startswith("GNU.sparse.") for key in pax):
        raise refuse_entry(name, _REFUSED_TYPES[tarfile.GNUTYPE_SPARSE])
    if header.type == tarfile.DIRTYPE:
        return _Member(name, 0, is_folder=True)
    if header.type not in _FILE_TYPES:
        raise refuse_entry(name, "is of an unknown kind")
    size = pax.get("size", str(header.size))
    if not size.isdecimal() or len(size) > 20:
        raise refuse_entry(name, "states a size that is no number")
    return _Member(name, int(size), is_folder=name.endswith("/"))

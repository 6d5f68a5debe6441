"""Reading zip archives entry by entry, trusting none of the sizes they state.

The central directory is parsed by the standard library; everything else is done here, because the library does not
notice entries that overlap, data that goes on after its stated end, or local headers that disagree with the directory.

Source: Fifield, "A better zip bomb" (2019), for the overlapping entries.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from training.engine.archive_rules import (
    ArchiveError,
    ArchiveLimits,
    EntryGuard,
    StoredEntry,
    find_damage,
    is_ignored,
    refuse_entry,
)

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"
_FLAG_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, masked directory
_FLAG_SIZES_FOLLOW = 0x8
_FLAG_UTF8 = 0x800
_SIZE_ELSEWHERE = 0xFFFFFFFF
_METHOD_AES = 99
_COMPRESSED_SLACK_BYTES = 65_536  # deflate may grow what it cannot shrink, by a few bytes per block


class _DirectoryGuard(io.BufferedReader):
    """A file that refuses to hand over an absurdly large central directory in one read."""

    def __init__(self, path: Path, *, max_read_bytes: int) -> None:
        super().__init__(path.open("rb", buffering=0))
        self.max_read_bytes = max_read_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes.

        Raises:
            ArchiveError: More than the limit was asked for.
        """
        if size is not None and size > self.max_read_bytes:
            message = f"The archive's directory is larger than {self.max_read_bytes:,} bytes."
            raise ArchiveError(message, too_large=True)
        return super().read(size)


def walk_zip(
    path: Path, *, guard: EntryGuard, limits: ArchiveLimits, on_folder: Callable[[str], None]
) -> Iterator[StoredEntry]:
    """Yield the files of a zip archive, after every check that its directory and headers allow.

    Args:
        path: The archive.
        guard: Admits names and sizes.
        limits: What is allowed.
        on_folder: Called with the name of each folder entry.

    Yields:
        Entries in the order of their data.

    Raises:
        ArchiveError: The archive or one of its entries is refused.
    """
    with _DirectoryGuard(path, max_read_bytes=limits.max_directory_bytes + limits.max_entry_bytes) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OverflowError) as error:
            message = "The archive's directory is missing, truncated or damaged."
            raise ArchiveError(message) from error
        with archive:
            file.max_read_bytes = max(file.max_read_bytes, limits.largest_entry_bytes)  # the directory has been read
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            names = [_admit(info, guard=guard, limits=limits) for info in infos]
            starts = _locate_data(file, infos, directory_start=archive.start_dir)
            for info, name, start in zip(infos, names, starts, strict=True):
                if info.is_dir():
                    on_folder(name)
                elif not is_ignored(name):
                    read = partial(_read_data, file, info, start=start)
                    yield StoredEntry(name, info.file_size, start + info.compress_size, read)


def _admit(info: zipfile.ZipInfo, *, guard: EntryGuard, limits: ArchiveLimits) -> str:
    name = info.orig_filename
    if not info.filename:  # as it is where a name begins with NUL; `ZipInfo.is_dir` knows no such thing
        raise refuse_entry(name, "has no name")
    if info.flag_bits & _FLAG_ENCRYPTED or info.compress_type == _METHOD_AES:
        raise refuse_entry(name, "is encrypted")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise refuse_entry(name, "is a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refuse_entry(name, "is a device or another special file")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        why = f"uses compression method {info.compress_type}; only stored and deflated entries are read"
        raise refuse_entry(name, why)
    if info.is_dir() and info.file_size:
        raise refuse_entry(name, "is a folder that carries data")
    if info.file_size > max(limits.ratio_floor_bytes, limits.max_ratio * info.compress_size):
        raise refuse_entry(name, f"unpacks to over {limits.max_ratio} times its packed size", too_large=True)
    if info.compress_size > info.file_size + info.file_size // 100 + _COMPRESSED_SLACK_BYTES:
        raise refuse_entry(name, "states a packed size that its unpacked size cannot explain")
    return guard.admit(name, size=info.file_size, is_folder=info.is_dir())


def _locate_data(file: io.BufferedReader, infos: list[zipfile.ZipInfo], *, directory_start: int) -> list[int]:
    """Return where each entry's data starts, having checked that local headers agree and that nothing overlaps."""
    starts: list[int] = []
    free_from = 0
    for info in infos:
        if info.header_offset < free_from:
            raise refuse_entry(info.orig_filename, "overlaps another entry")
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_MAGIC):
            raise refuse_entry(info.orig_filename, "is not where the archive's directory says")
        _, _, flags, _, _, _, crc, packed, unpacked, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        _compare_names(info, file.read(name_length), flags=flags)
        if not flags & _FLAG_SIZES_FOLLOW and _SIZE_ELSEWHERE not in (packed, unpacked):
            _compare_sizes(info, crc=crc, packed=packed, unpacked=unpacked)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        free_from = start + info.compress_size
        if free_from > directory_start:
            raise refuse_entry(info.orig_filename, "overlaps the archive's directory")
        starts.append(start)
    return starts


def _compare_names(info: zipfile.ZipInfo, local_name: bytes, *, flags: int) -> None:
    encoding = "utf-8" if flags & _FLAG_UTF8 else "cp437"
    if local_name.decode(encoding, "replace") != info.orig_filename:
        raise refuse_entry(info.orig_filename, "has two different names")


def _compare_sizes(info: zipfile.ZipInfo, *, crc: int, packed: int, unpacked: int) -> None:
    if (crc, packed, unpacked) != (info.CRC, info.compress_size, info.file_size):
        raise refuse_entry(info.orig_filename, "states two different sizes or checksums")


def _read_data(file: io.BufferedReader, info: zipfile.ZipInfo, *, start: int) -> bytes:
    file.seek(start)
    packed = file.read(info.compress_size)
    data = packed if info.compress_type == zipfile.ZIP_STORED else _inflate(packed, info)
    if len(data) != info.file_size:
        raise refuse_entry(info.orig_filename, "does not unpack to the size it states")
    if zlib.crc32(data) != info.CRC:
        raise find_damage(info.orig_filename, "its checksum does not match")
    return data


def _inflate(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(packed, info.file_size + 1)
    except zlib.error as error:
        raise find_damage(info.orig_filename, "it cannot be unpacked") from error
    if not inflater.eof or inflater.unused_data:
        raise refuse_entry(info.orig_filename, "does not unpack to the size it states")
    return data

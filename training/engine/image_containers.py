"""Looking at an image file's structure before any decoder runs: which format it is, and what decoders do not check.

Pillow skips the checksums of PNG pixel data, counts the frames of a GIF by decoding them, and lets a progressive JPEG
go over the whole picture as many times as the file asks. Each check here is one pass over the bytes.
"""

from __future__ import annotations

import struct
import zlib

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_CHUNK_HEADER = struct.Struct(">I4s")
_PNG_CHECKSUM_BYTES = 4
MAX_TEXT_CHUNK_BYTES = 1024 * 1024
"""Of one PNG text chunk, packed or unpacked; Pillow's own limit for the unpacked ones."""

_JPEG_SCAN_MARKER = b"\xff\xda"
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21


def sniff_format(data: bytes) -> str | None:
    """Return Pillow's name of the format that the first bytes announce; None when it is none that we take."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_MAGIC):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return "BMP" if data.startswith(b"BM") else None


def find_png_fault(data: bytes) -> str | None:
    """Walk a PNG's chunks up to its end chunk.

    Args:
        data: The file, starting with PNG's signature.

    Returns:
        What is wrong (cut short, checksum, giant text), or None.
    """
    position = len(_PNG_MAGIC)
    view = memoryview(data)
    while True:
        body = position + _PNG_CHUNK_HEADER.size
        if body > len(data):
            return "is cut short"
        length, kind = _PNG_CHUNK_HEADER.unpack_from(data, position)
        end = body + length
        if end + _PNG_CHECKSUM_BYTES > len(data):
            return "is cut short"
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + _PNG_CHECKSUM_BYTES], "big"):
            return "has a wrong checksum"
        if kind in _PNG_TEXT_CHUNKS and length > MAX_TEXT_CHUNK_BYTES:
            return "carries a giant text"
        if kind == b"IEND":
            return None
        position = end + _PNG_CHECKSUM_BYTES


def count_jpeg_scans(data: bytes) -> int:
    """Return how many times a JPEG's decoder will go over the picture (embedded previews included)."""
    return data.count(_JPEG_SCAN_MARKER)


def count_gif_frames(data: bytes, *, at_most: int) -> int:
    """Count a GIF's frames without decoding them.

    Args:
        data: The file, starting with GIF's signature.
        at_most: Where to stop counting.

    Returns:
        The number of frames, or `at_most` when there are as many or more. A cut file counts what is there.
    """
    frames = 0
    position = 13 + _color_table_bytes(data[10:11])
    while frames < at_most and position < len(data):
        block = data[position]
        if block == _GIF_IMAGE:
            frames += 1
            position += 10 + _color_table_bytes(data[position + 9 : position + 10]) + 1  # + the LZW code size
        elif block == _GIF_EXTENSION:
            position += 2
        else:
            break
        position = _skip_sub_blocks(data, position)
    return frames


def _color_table_bytes(flags: bytes) -> int:
    """Return the size of the colour table that a packed GIF flag byte announces."""
    if not flags or not flags[0] & 0x80:
        return 0
    return 3 << ((flags[0] & 0x07) + 1)


def _skip_sub_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1

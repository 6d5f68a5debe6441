"""Unpacking xz within a fixed amount of memory.

`lzma.open` cannot promise that: a stream may ask for gigabytes of dictionary.
"""

from __future__ import annotations

import lzma
from typing import BinaryIO

_MEMORY_BYTES = 128 * 1024 * 1024  # `xz -9` needs 65 MiB to unpack
_READ_BYTES = 65_536


class XzStream:
    """The unpacked bytes of a file of one or more xz streams.

    Args:
        file: The packed file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = b""
        self._decoder = self._new_decoder()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` unpacked bytes; empty only at the end.

        Raises:
            EOFError: The file is cut short.
            lzma.LZMAError: The file is damaged, or wants more memory than it gets.
        """
        while True:
            if self._decoder.eof and not self._start_next_stream():
                return b""
            if self._decoder.needs_input:
                packed = self._packed or self._file.read(_READ_BYTES)
                if not packed:
                    raise EOFError
                self._packed = b""
                data = self._decoder.decompress(packed, size)
            else:
                data = self._decoder.decompress(b"", size)
            if data:
                return data

    def _start_next_stream(self) -> bool:
        packed = self._decoder.unused_data.lstrip(b"\0")  # streams may be padded with zeros
        while not packed:
            chunk = self._file.read(_READ_BYTES)
            if not chunk:
                return False
            packed = chunk.lstrip(b"\0")
        self._packed = packed
        self._decoder = self._new_decoder()
        return True

    @staticmethod
    def _new_decoder() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)

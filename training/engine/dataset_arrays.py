"""Writing a split's images as an npy file, row by row, and measuring their colours on the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE

ROW_SHAPE: Final = (IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)
ROW_BYTES: Final = IMAGE_SIZE * IMAGE_SIZE * IMAGE_CHANNELS
_ROWS_PER_CHUNK: Final = 2_048


@dataclass(frozen=True, slots=True)
class ColorMoments:
    """Moments of a split's colours.

    Attributes:
        mean: Per channel, in [0, 1], to six decimals.
        std: Standard deviation per channel, in the same unit.
    """

    mean: list[float]
    std: list[float]


def write_images(path: Path, rows: BinaryIO, *, order: Sequence[int]) -> ColorMoments:
    """Copy rows in their final order into an npy file of shape (N, 32, 32, 3), never holding more than a few.

    Args:
        path: The file to write.
        rows: A real file of raw rows, 3,072 bytes each.
        order: N row numbers in final order.

    Returns:
        The moments, from exact integer sums: the same on any machine and in any order.

    Raises:
        OSError: The disk refuses.
    """
    rows.flush()
    histograms = np.zeros((IMAGE_CHANNELS, 256), dtype=np.int64)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), *ROW_SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(order), _ROWS_PER_CHUNK):
            numbers = order[start : start + _ROWS_PER_CHUNK]
            chunk = b"".join(os.pread(rows.fileno(), ROW_BYTES, number * ROW_BYTES) for number in numbers)
            file.write(chunk)
            _count_values(histograms, np.frombuffer(chunk, dtype=np.uint8).reshape(-1, IMAGE_CHANNELS))
    return _measure(histograms)


def _count_values(histograms: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
    """Add (P, 3) uint8 pixels to the (3, 256) histograms."""
    for channel in range(IMAGE_CHANNELS):
        histograms[channel] += np.bincount(pixels[:, channel], minlength=256)


def _measure(histograms: NDArray[np.int64]) -> ColorMoments:
    values = np.arange(256)
    pixels = histograms[0].sum()
    mean = histograms @ values / pixels
    variance = np.maximum(histograms @ values**2 / pixels - mean**2, 0.0)
    return ColorMoments(
        mean=[round(float(value) / 255, 6) for value in mean],
        std=[round(float(value) / 255, 6) for value in np.sqrt(variance)],
    )

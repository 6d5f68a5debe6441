"""Pictures drawn for people: what the model saw, and where it looked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.activation import Floats
from training.engine.constants import IMAGE_SIZE

ENLARGED: Final = 8
"""Pixels on a side that stand for one pixel of what the model saw."""

ADDS: Final = (255, 168, 0)
"""Colour of what adds to the score. Orange and blue differ for colour-blind people as well."""

TAKES: Final = (40, 96, 255)
"""Colour of what takes from it."""

_MOST_OPAQUE: Final = 0.78
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def draw_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of exactly the (H, W, 3) pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def draw_map(
    pixels: NDArray[np.uint8], fields: Floats, *, rows: Sequence[float], columns: Sequence[float], largest: float
) -> bytes:
    """Return a PNG of the picture, enlarged and in grey, with the fields over it.

    Between the middles of the fields the amounts change evenly; beyond the outermost ones they stay.

    Args:
        pixels: (32, 32, 3), what the model saw.
        fields: (h, w), what each adds to the score; what takes from it is negative.
        rows: h middles of fields, in pixels of the picture from its upper edge.
        columns: w middles, from its left edge.
        largest: the amount that has the strongest colour.
    """
    positions = (np.arange(IMAGE_SIZE * ENLARGED) + 0.5) / ENLARGED
    amounts = _blend(positions, rows) @ fields @ _blend(positions, columns).T
    opacity = (np.abs(amounts) / largest * _MOST_OPAQUE if largest else np.zeros_like(amounts))[:, :, None]
    colour = np.where(amounts[:, :, None] >= 0, np.array(ADDS), np.array(TAKES))
    large = pixels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1).astype(np.float64)
    grey = (large @ _LUMA)[:, :, None]  # its own colours would be taken for the map's
    return draw_pixels(np.rint(opacity * colour + (1 - opacity) * grey).astype(np.uint8))


def _blend(positions: Floats, centres: Sequence[float]) -> Floats:
    """Return the share (P, n) that each of n centres has in each position."""
    shares: Floats = np.stack([np.interp(positions, centres, row) for row in np.eye(len(centres))], axis=1)
    return shares

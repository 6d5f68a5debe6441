"""How bright a dataset's red, green and blue are, as a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.models import Dataset

HISTOGRAM_IMAGES: Final = 2_000
"""Training images that are looked at, spread over the split: 6 MB are read and counted in some 30 ms."""

_BINS: Final = 64
_WIDTH: Final = 256
_HEIGHT: Final = 96
_COLOURS: Final = ("#cf4a32", "#2f8f4e", "#3b82d6")
"""Red, green, blue; each 3:1 against the panels of both themes."""


def count_channels(dataset: Dataset) -> NDArray[np.float64]:
    """Return which share of each channel's values falls into each of 64 equal ranges.

    Args:
        dataset: The dataset; of its training images at most `HISTOGRAM_IMAGES` are read.

    Returns:
        (3, 64); each row sums to 1.

    Raises:
        OSError: the arrays are not there.
        ValueError: they are damaged, or hold no image.
    """
    images = np.load(dataset.path / "train_images.npy", mmap_mode="r", allow_pickle=False)  # (N, 32, 32, 3) uint8
    chosen = np.linspace(0, len(images) - 1, min(HISTOGRAM_IMAGES, len(images))).astype(np.int64)
    pixels = images[chosen].reshape(-1, 3)
    counts = [np.bincount(pixels[:, channel], minlength=256).reshape(_BINS, -1).sum(axis=1) for channel in range(3)]
    return np.stack(counts) / len(pixels)


def draw_histogram(shares: NDArray[np.float64]) -> str:
    """Draw shares as three outlined areas over each other.

    Args:
        shares: (3, B), of red, green and blue.

    Returns:
        An SVG that stretches to any size.
    """
    highest = float(shares.max()) or 1.0
    step = _WIDTH / shares.shape[1]
    areas = "".join(
        f'<path fill="{colour}" fill-opacity=".16" stroke="{colour}" stroke-width="1.5" '
        f'vector-effect="non-scaling-stroke" d="{_outline(row / highest, step)}"/>'
        for colour, row in zip(_COLOURS, shares, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'preserveAspectRatio="none" stroke-linejoin="round">{areas}</svg>'
    )


def _outline(heights: NDArray[np.float64], step: float) -> str:
    """Return the path around bars of some heights, fractions of the drawing's."""
    points = [(index * step, _HEIGHT * (1 - height)) for index, height in enumerate(heights)]
    steps = "".join(f"V{y:.1f}H{x + step:g}" for x, y in points)
    return f"M0 {_HEIGHT}{steps}V{_HEIGHT}Z"

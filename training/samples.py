"""A look into a dataset: a few pictures of one class, straight from the memory-mapped arrays."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from training.models import Dataset

SAMPLES_PER_CLASS: Final = 8
_GAP = 2  # transparent pixels between two pictures


def draw_class_strip(dataset: Dataset, class_index: int, *, count: int = SAMPLES_PER_CLASS) -> bytes:
    """Draw training pictures of one class, spread over the split, side by side.

    Args:
        dataset: the dataset; only the pages of its files that hold the chosen pictures are read.
        class_index: position of the class in `dataset.class_keys`.
        count: how many pictures at most.

    Returns:
        A PNG of `count` pictures of 32 × 32 pixels with a gap of 2 between them.

    Raises:
        OSError: the arrays are not there.
        ValueError: they are damaged.
    """
    labels = np.load(dataset.path / "train_labels.npy", mmap_mode="r", allow_pickle=False)
    images = np.load(dataset.path / "train_images.npy", mmap_mode="r", allow_pickle=False)  # (N, 32, 32, 3) uint8
    of_class = np.flatnonzero(labels == class_index)
    chosen = of_class[np.linspace(0, len(of_class) - 1, min(count, len(of_class))).astype(np.int64)]
    height, width = images.shape[1:3]
    strip = np.zeros((height, count * (width + _GAP) - _GAP, 4), dtype=np.uint8)
    for position, index in enumerate(chosen):
        left = position * (width + _GAP)
        strip[:, left : left + width, :3] = images[index]
        strip[:, left : left + width, 3] = 255
    buffer = BytesIO()
    Image.fromarray(strip, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()

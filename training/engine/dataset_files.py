"""Reading a dataset directory: manifest and memory-mapped arrays, checked for the house format. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import DATASET_SCHEMA, IMAGE_CHANNELS, IMAGE_SIZE, MANIFEST_NAME
from training.engine.exceptions import DatasetError

SPLITS: Final = ("train", "test")
PREVIEW_IMAGES: Final = 8
"""Training images, spread over the split, of which a preview shows what augmentations make."""

PREVIEW_EPOCHS: Final = 3
"""Epochs that it shows of them."""


def read_dataset_manifest(path: Path) -> dict[str, Any]:
    """Read and check a dataset's manifest.

    Raises:
        DatasetError: It is missing, unreadable or lacks a key.
    """
    try:
        manifest = json.loads((path / MANIFEST_NAME).read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} is not an imported dataset: it has no readable {MANIFEST_NAME}.") from error
    except ValueError as error:
        raise DatasetError(f"{path / MANIFEST_NAME} is not JSON.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != DATASET_SCHEMA:
        raise DatasetError(f"{path / MANIFEST_NAME} does not follow schema {DATASET_SCHEMA}.")
    needed = {f"{split}_{part}.npy" for split in SPLITS for part in ("images", "labels")}
    lacking = [key for key in ("name", "sha256", "class_keys", "mean", "std", "files") if key not in manifest]
    if lacking or set(manifest["files"]) != needed:
        raise DatasetError(f"{path / MANIFEST_NAME} lacks {lacking[0] if lacking else 'a file hash'}.")
    return manifest


def map_split(path: Path, *, split: str, class_count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Map one split's arrays copy-on-write.

    Args:
        path: The dataset directory.
        split: "train" or "test".
        class_count: Number of classes K.

    Returns:
        (N, 32, 32, 3) images and (N,) labels in [0, K).

    Raises:
        DatasetError: Shapes, types or labels are not those of an image dataset.
    """
    images = _load_array(path / f"{split}_images.npy")
    labels = _load_array(path / f"{split}_labels.npy")
    shape = (len(labels), IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)
    if images.shape != shape or images.dtype != np.uint8 or labels.ndim != 1 or labels.dtype != np.int64:
        raise DatasetError(
            f"The {split} split of {path} is not {IMAGE_SIZE}×{IMAGE_SIZE} uint8 images with int64 labels."
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < class_count):
        raise DatasetError(f"The {split} split of {path} has a label outside its {class_count} classes.")
    return images, labels


def preview_name(recipe: str) -> str:
    """Return the name of the file, beside the arrays, with what a recipe's augmentations make of some images."""
    return f"augmented-{recipe}.png"


def _load_array(path: Path) -> NDArray[Any]:
    """Map a `.npy` file copy-on-write: the file is never written, and torch gets the writable view that it wants.

    Raises:
        DatasetError: The file is not a plain array.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not a readable array.") from error
    return array

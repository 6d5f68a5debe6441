"""STL-10 as a dataset of CIFAR-10's classes: its binary files, and the checksummed download by torchvision.

Nine of its ten classes are CIFAR-10's and take CIFAR-10's names; monkeys are left out, and there are no frogs: the
dataset has nine classes, which meet those of another dataset by name. The 100,000 unlabelled images are not read.

Source: Coates, Lee & Ng, "An analysis of single-layer networks in unsupervised feature learning" (AISTATS 2011);
https://cs.stanford.edu/~acoates/stl10/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.engine.archive_rules import refuse_entry
from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.dataset_draft import SPLITS, DatasetDraft, Split, draft_dataset
from training.engine.downloads import fetch, report_growth
from training.engine.exceptions import DatasetError
from training.engine.photograph import to_rgb_square
from training.engine.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from torchvision.datasets import STL10

SIDE: Final = 96
"""Height and width of STL-10's images, in pixels."""

CLASS_NAMES: Final = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
"""STL-10's own names in the order of its labels, which count from 1."""

CLASS_KEYS: Final = ("airplane", "bird", "automobile", "cat", "deer", "dog", "horse", None, "ship", "truck")
"""CIFAR-10's name of each of them; None for the class that CIFAR-10 does not have."""

CLASS_LIST_NAME: Final = "class_names.txt"
SIDE_FILES: Final = frozenset({CLASS_LIST_NAME, "fold_indices.txt"})
FILE_NAMES: Final = tuple(f"{split}_{part}.bin" for split in SPLITS for part in ("X", "y"))

_IMAGE_BYTES: Final = IMAGE_CHANNELS * SIDE * SIDE
_ARCHIVE_BYTES: Final = 2_640_397_119
_NOTES: Final = "STL-10's labelled images in CIFAR-10's classes, without its monkeys, from 96×96 to 32×32."


class Stl10Files:
    """Collects the four binary files of a source, which come in any order."""

    def __init__(self) -> None:
        self._images: dict[str, NDArray[np.uint8]] = {}
        self._labels: dict[str, NDArray[np.uint8]] = {}

    def __bool__(self) -> bool:
        return bool(self._images or self._labels)

    def take(self, name: str, data: bytes, *, entry: str) -> None:
        """Read one file.

        Args:
            name: One of `FILE_NAMES`.
            data: Its bytes.
            entry: Its name in the source, for the error.

        Raises:
            DatasetError: It is there twice, its size is not that of whole images, or a label is none of 1 to 10.
        """
        split, _underscore, part = name.removesuffix(".bin").partition("_")
        known = self._images if part == "X" else self._labels
        if split in known:
            raise refuse_entry(entry, f"is a second {name}")
        known[split] = parse_images(data, entry=entry) if part == "X" else parse_labels(data, entry=entry)

    def add_to(self, draft: DatasetDraft) -> None:
        """Put the images of both splits into a draft.

        Raises:
            DatasetError: A file is missing, or images and labels differ in number.
        """
        for split in SPLITS:
            for part, known in (("X", self._images), ("y", self._labels)):
                if split not in known:
                    raise DatasetError(f"STL-10's file '{split}_{part}.bin' is missing.")
            images, labels = self._images[split], self._labels[split]
            if len(images) != len(labels):
                message = f"'{split}_X.bin' has {len(images):,} images and '{split}_y.bin' {len(labels):,} labels."
                raise DatasetError(message)
            _add(draft, split, images, label_numbers=labels - 1)


def parse_images(data: bytes, *, entry: str) -> NDArray[np.uint8]:
    """Read images, each three colour planes of 96×96 stored column by column, and shrink them with antialiasing.

    Args:
        data: The file.
        entry: Its name, for the error.

    Returns:
        (N, 32, 32, 3) uint8.

    Raises:
        DatasetError: The size is not that of whole images.
    """
    if not data or len(data) % _IMAGE_BYTES:
        raise refuse_entry(entry, f"is not a whole number of {_IMAGE_BYTES}-byte STL-10 images")
    columns = np.frombuffer(data, dtype=np.uint8).reshape(-1, IMAGE_CHANNELS, SIDE, SIDE)  # (N, colour, x, y)
    return _shrink(columns.transpose(0, 3, 2, 1))


def parse_labels(data: bytes, *, entry: str) -> NDArray[np.uint8]:
    """Read labels, one byte each, from 1 to 10.

    Raises:
        DatasetError: There is none, or one is another number.
    """
    labels = np.frombuffer(data, dtype=np.uint8)
    wrong = np.flatnonzero((labels < 1) | (labels > len(CLASS_NAMES)))
    if not len(labels):
        raise refuse_entry(entry, "is empty")
    if len(wrong):
        raise refuse_entry(entry, f"has an unknown class, {labels[wrong[0]]}, at position {wrong[0]}")
    return labels


def check_class_list(data: bytes, *, entry: str) -> None:
    """Make sure that a `class_names.txt` beside the files names STL-10's classes.

    Raises:
        DatasetError: It names others: these files are another dataset's.
    """
    if tuple(data.decode("utf-8", "replace").split()) != CLASS_NAMES:
        raise refuse_entry(entry, "names classes that are not STL-10's")


def download_stl10(
    output: Path, *, download_root: Path, name: str = "stl10", on_progress: ProgressCallback = ignore_progress
) -> dict[str, Any]:
    """Download STL-10 with torchvision, or take it from `download_root`, and write a dataset directory.

    Args:
        output: The final directory; it must not exist.
        download_root: Where the download is kept: 2.6 GB, and 3.1 GB unpacked.
        name: The dataset's name.
        on_progress: Told how much has arrived.

    Returns:
        The manifest.

    Raises:
        NetworkError: The download cannot be reached.
        DatasetError: `output` exists, or the download is not the expected file.
    """
    archive = download_root / "stl10_binary.tar.gz"
    message = "Downloading STL-10"
    with draft_dataset(output) as draft:
        with report_growth(archive, total_bytes=_ARCHIVE_BYTES, message=message, on_progress=on_progress):
            parts = {split: _fetch(download_root, split) for split in SPLITS}
        for split, part in parts.items():
            _add(draft, split, _shrink(part.data.transpose(0, 2, 3, 1)), label_numbers=part.labels)
        return draft.publish(
            name=name, source="torchvision-stl10", notes=_NOTES, by_class=False, on_progress=on_progress
        )


def _fetch(root: Path, split: Split) -> STL10:
    from torchvision.datasets import STL10  # noqa: PLC0415  imports torch, which no other import needs

    return fetch(lambda: STL10(str(root), split=split, download=True), title="STL-10")


def _shrink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring (N, 96, 96, 3) images to (N, 32, 32, 3), as every imported photograph."""
    small = np.empty((len(images), IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS), dtype=np.uint8)
    for number, image in enumerate(images):
        small[number] = to_rgb_square(Image.fromarray(np.ascontiguousarray(image)))
    return small


def _add(draft: DatasetDraft, split: Split, images: NDArray[np.uint8], *, label_numbers: NDArray[np.uint8]) -> None:
    """Add the images whose class CIFAR-10 has; `label_numbers` count from 0."""
    known = [(row, key) for row, number in enumerate(label_numbers) if (key := CLASS_KEYS[number]) is not None]
    rows, class_keys = [row for row, _key in known], [key for _row, key in known]
    draft.add(split, images[rows], class_keys=class_keys, entry="")

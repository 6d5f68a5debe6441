"""CIFAR-10's own forms: its binary batches, and the checksummed download by torchvision.

The pickled batches are read only by torchvision, which verifies each file's checksum first.

Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009); https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.engine.archive_rules import refuse_entry
from training.engine.constants import CIFAR10_CLASS_KEYS, IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.dataset_draft import Split, draft_dataset
from training.engine.downloads import fetch
from training.engine.exceptions import DatasetError
from training.engine.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

BATCH_NAME: Final = re.compile(r"(?:data_batch_([1-9])|test_batch)\.bin")
CLASS_LIST_NAME: Final = "batches.meta.txt"
SIDE_FILES: Final = frozenset({CLASS_LIST_NAME, "readme.html"})
"""What lies beside the binary batches in the original archive."""

_RECORD_BYTES: Final = 1 + IMAGE_CHANNELS * IMAGE_SIZE * IMAGE_SIZE
_BATCH_ROWS: Final = 10_000


def parse_batch(data: bytes, *, entry: str) -> tuple[NDArray[np.uint8], list[str]]:
    """Read one binary batch: records of a label byte and three 32×32 colour planes.

    Args:
        data: The file.
        entry: Its name, for the error.

    Returns:
        (N, 32, 32, 3) uint8 images and N class names.

    Raises:
        DatasetError: The size is not that of whole records, or a label is no class.
    """
    if not data or len(data) % _RECORD_BYTES:
        raise refuse_entry(entry, f"is not a whole number of {_RECORD_BYTES}-byte CIFAR-10 records")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() >= len(CIFAR10_CLASS_KEYS):
        number = int(np.argmax(labels >= len(CIFAR10_CLASS_KEYS)))
        raise refuse_entry(entry, f"has an unknown class, {int(labels[number])}, in record {number}")
    planes = records[:, 1:].reshape(-1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), [CIFAR10_CLASS_KEYS[label] for label in labels]


def check_class_list(data: bytes, *, entry: str) -> None:
    """Make sure that a `batches.meta.txt` beside the batches names CIFAR-10's classes.

    Raises:
        DatasetError: It names others: these batches are another dataset's.
    """
    if tuple(data.decode("utf-8", "replace").split()) != CIFAR10_CLASS_KEYS:
        raise refuse_entry(entry, "names classes that are not CIFAR-10's")


def check_batch_numbers(numbers: Iterable[int]) -> None:
    """Make sure that no training batch is missing between the first and the last.

    Raises:
        DatasetError: One is.
    """
    present = set(numbers)
    for number in range(1, max(present, default=0) + 1):
        if number not in present:
            raise DatasetError(f"Training batch 'data_batch_{number}.bin' is missing.")


def download_cifar10(
    output: Path,
    *,
    download_root: Path,
    name: str = "cifar10",
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Any]:
    """Download CIFAR-10 with torchvision, or take it from `download_root`, and write a dataset directory.

    Args:
        output: The final directory; it must not exist.
        download_root: Where the download is kept.
        name: The dataset's name.
        on_progress: Told how far the checks of the images are.

    Returns:
        The manifest.

    Raises:
        NetworkError: The download cannot be reached.
        DatasetError: `output` exists, or the download is not the expected file.
    """
    with draft_dataset(output) as draft:
        splits: tuple[tuple[Split, bool], ...] = (("train", True), ("test", False))
        for split, is_train in splits:
            batch = _fetch(download_root, is_train=is_train)
            for start in range(0, len(batch.targets), _BATCH_ROWS):
                rows = slice(start, start + _BATCH_ROWS)
                class_keys = [CIFAR10_CLASS_KEYS[label] for label in batch.targets[rows]]
                draft.add(split, batch.data[rows], class_keys=class_keys, entry="")
        return draft.publish(name=name, source="torchvision-cifar10", by_class=False, on_progress=on_progress)


def _fetch(root: Path, *, is_train: bool) -> CIFAR10:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  imports torch, which no other import needs

    return fetch(lambda: CIFAR10(str(root), train=is_train, download=True), title="CIFAR-10")

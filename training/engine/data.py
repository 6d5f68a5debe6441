"""Imported datasets as tensors: memory-mapped arrays, checked hashes, a seeded stratified validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.engine.dataset_files import SPLITS, map_split, read_dataset_manifest
from training.engine.exceptions import DatasetError
from training.engine.package import hash_file
from training.engine.seed import make_generator


def spread_rows(length: int, *, count: int) -> Tensor:
    """Return `count` (int64) of `length` rows at even distances, in order; all of them when there are no more."""
    return torch.linspace(0, length - 1, min(count, length)).long()


@dataclass(frozen=True, slots=True)
class Split:
    """Images with their labels.

    Attributes:
        images: (N, 32, 32, 3) uint8.
        labels: (N,) int64 in [0, K).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> Split:
        """Copy the given rows; `indices`: (M,) int64."""
        return Split(images=self.images[indices], labels=self.labels[indices])

    def spread(self, count: int) -> Split:
        """Copy `count` rows at even distances; all of them when there are no more."""
        return self.select(spread_rows(len(self), count=count))

    def to(self, device: torch.device) -> Split:
        """Return the split in a device's memory."""
        return Split(images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset directory, opened and checked.

    Attributes:
        path: The directory.
        manifest: Its whole manifest.
        train: Training split, backed by the memory-mapped file.
        test: Test split, likewise.
    """

    path: Path
    manifest: Mapping[str, Any]
    train: Split
    test: Split

    @property
    def name(self) -> str:
        """The name under which it was imported."""
        return str(self.manifest["name"])

    @property
    def sha256(self) -> str:
        """Hash that identifies its content."""
        return str(self.manifest["sha256"])

    @property
    def class_keys(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return [str(key) for key in self.manifest["class_keys"]]

    @property
    def mean(self) -> list[float]:
        """Mean of each colour over the training split, in [0, 1]."""
        return [float(value) for value in self.manifest["mean"]]

    @property
    def std(self) -> list[float]:
        """Standard deviation of each colour over the training split."""
        return [float(value) for value in self.manifest["std"]]


def load_dataset(path: Path) -> Dataset:
    """Open a dataset directory; the arrays stay on disk and are mapped into memory copy-on-write.

    Args:
        path: Directory with `manifest.json` and four `.npy` files.

    Raises:
        DatasetError: A file is missing, altered or not of the expected shape, or a class has no training image.
    """
    manifest = read_dataset_manifest(path)
    class_count = len(manifest["class_keys"])
    for name, sha256 in manifest["files"].items():
        if not (path / name).is_file() or hash_file(path / name) != sha256:
            raise DatasetError(f"{path / name} is missing or was altered since the import.")
    splits = {split: _load_split(path, split=split, class_count=class_count) for split in SPLITS}
    counts = torch.bincount(splits["train"].labels, minlength=class_count)
    if not len(splits["test"]) or int(counts.min()) == 0:
        raise DatasetError(f"{path} has an empty test split or a class without training images.")
    return Dataset(path=path, manifest=manifest, train=splits["train"], test=splits["test"])


def split_validation(labels: Tensor, *, class_count: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Set aside the same share of every class for validation.

    A class always keeps one training image; with a positive fraction it gives at least one when it has two.

    Args:
        labels: (N,) int64.
        class_count: Number of classes K.
        fraction: Share of each class to set aside, in [0, 0.5].
        seed: The run's seed.

    Returns:
        Ascending indices of the training and of the validation images, (N - V,) and (V,) int64.
    """
    order = torch.randperm(len(labels), generator=make_generator(seed=seed, purpose="split"))
    is_validation = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(class_count if fraction > 0 else 0):
        members = order[labels[order] == label]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        is_validation[members[:count]] = True
    return (~is_validation).nonzero().flatten(), is_validation.nonzero().flatten()


def _load_split(path: Path, *, split: str, class_count: int) -> Split:
    images, labels = map_split(path, split=split, class_count=class_count)
    return Split(images=torch.from_numpy(images), labels=torch.from_numpy(labels))

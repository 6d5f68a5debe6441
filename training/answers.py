"""What a model answered to each test image of a dataset, kept beside the packages on this machine.

A manifest counts what was taken for what; it does not say which images these were. An evaluation does, and a file with
one number for each test image keeps that. It can always be made anew, so that no backup has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
from django.db.models import F
from numpy.typing import NDArray

from training.models import Dataset, ModelVersion
from training.storage import DRAFTS, artifacts

_FOLDER: Final = "answers"


@dataclass(frozen=True, slots=True)
class AnsweredImages:
    """Some of the test images of one class that got one answer.

    Attributes:
        total: How many there are.
        indices: Places in the test split, of those that are shown.
        pixels: (n, 32, 32, 3) uint8, in the same order.
    """

    total: int
    indices: list[int]
    pixels: NDArray[np.uint8]


def keep_answers(*, version: ModelVersion, dataset: Dataset, answers: Sequence[int]) -> None:
    """Keep what a version answered, in place of what there may be.

    Args:
        version: The version.
        dataset: The dataset.
        answers: Position of the answered class, for each test image.

    Raises:
        OSError: the file cannot be written.
    """
    draft, path = artifacts(DRAFTS, f"{uuid4().hex}.npy"), _path(version, dataset)
    for folder in (draft.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    np.save(draft, np.asarray(answers, dtype=np.uint16), allow_pickle=False)
    draft.replace(path)


def find_evaluated(version: ModelVersion) -> Dataset | None:
    """Return a dataset on this machine to whose test images the version's answers are known, best its own."""
    kept = artifacts(_FOLDER).glob(f"{version.package_sha256}-*.npy")
    datasets = Dataset.objects.filter(sha256__in=[path.stem.partition("-")[2] for path in kept])
    own = version.manifest["dataset"]["sha256"]
    return min(datasets, key=lambda dataset: (dataset.sha256 != own, -dataset.pk), default=None)


def find_evaluable(version: ModelVersion) -> str | None:
    """Return the name of a dataset on this machine that the version can be evaluated on, best its own."""
    own = version.manifest["dataset"]["sha256"]
    datasets = Dataset.objects.annotate(keys=F("manifest__class_keys")).values_list("sha256", "name", "keys")
    fitting = [(sha256 != own, name) for sha256, name, keys in datasets if keys == version.class_keys]
    return min(fitting)[1] if fitting else None


def find_answered(
    *, version: ModelVersion, dataset: Dataset, label: int, answer: int, start: int, count: int
) -> AnsweredImages:
    """Return test images of the class `label` that a version took for `answer`, in the order of the split.

    Args:
        version: The version.
        dataset: One that `find_evaluated` returned.
        label: Position of the true class.
        answer: Position of the answered one.
        start: How many of them to pass over.
        count: How many to return at most; only the parts of the arrays that hold them are read.

    Raises:
        OSError: the arrays are not there.
        ValueError: they are damaged, or not those that were evaluated.
    """
    answers = np.load(_path(version, dataset), allow_pickle=False)
    labels = np.load(dataset.path / "test_labels.npy", mmap_mode="r", allow_pickle=False)
    images = np.load(dataset.path / "test_images.npy", mmap_mode="r", allow_pickle=False)  # (N, 32, 32, 3) uint8
    found = np.flatnonzero((labels == label) & (answers == answer))
    shown = found[start : start + count]
    return AnsweredImages(total=len(found), indices=shown.tolist(), pixels=np.array(images[shown]))


def _path(version: ModelVersion, dataset: Dataset) -> Path:
    return artifacts(_FOLDER, f"{version.package_sha256}-{dataset.sha256}.npy")

"""What evaluations found of single images: what a version answered to each, and where it sees them.

A manifest counts what was taken for what; it does not say which images these were. An evaluation's files do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import ANSWERS_NAME, BANK_NAME, MAP_NAME
from training.models import Dataset, Evaluation, ModelVersion


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


@dataclass(frozen=True, slots=True)
class ImageMap:
    """Test images in the plane; those that a version sees alike are near each other.

    Attributes:
        indices: (n,) int64, places in the test split.
        points: (n, 2) float32 in [0, 1].
        labels: (n,) positions of the true classes.
        answers: (n,) positions of the answered ones.
    """

    indices: NDArray[np.int64]
    points: NDArray[np.float32]
    labels: NDArray[np.integer]
    answers: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Bank:
    """What a version sees of some of a dataset's training images.

    Attributes:
        indices: (n,) int64, places in the training split.
        vectors: (n, C) float32, the directions in which the last layer sees them, of length 1.
    """

    indices: NDArray[np.int64]
    vectors: NDArray[np.float32]


def find_evaluation(version: ModelVersion) -> Evaluation | None:
    """Return the evaluation that tells of a version's single images, best that on its own dataset.

    Its report is not read, nor its dataset's manifest.
    """
    kept = Evaluation.objects.with_files().filter(version=version).to_list()
    own = version.manifest["dataset"]["sha256"]
    return min(kept, key=lambda found: (found.dataset.sha256 != own, -found.pk), default=None)


def find_answered(evaluation: Evaluation, *, label: int, answer: int, start: int = 0, count: int) -> AnsweredImages:
    """Return test images of the class `label` that a version took for `answer`, in the order of the split.

    Args:
        evaluation: One with files.
        label: Position of the true class.
        answer: Position of the answered one.
        start: How many of them to pass over.
        count: How many to return at most; only the parts of the arrays that hold them are read.

    Raises:
        OSError: the files are not there.
        ValueError: they are damaged, or not those that were evaluated.
    """
    answers, labels = _read_answers(evaluation), _test_array(evaluation.dataset, "labels")
    images = _test_array(evaluation.dataset, "images")  # (N, 32, 32, 3)
    found = np.flatnonzero((labels == label) & (answers == answer))
    shown = found[start : start + count]
    return AnsweredImages(total=len(found), indices=shown.tolist(), pixels=np.array(images[shown]))


def read_map(evaluation: Evaluation) -> ImageMap:
    """Return the map of an evaluation with files; without any image where the dataset has only a few.

    Raises:
        OSError: the files are not there.
        ValueError: they are damaged, or not those that were evaluated.
    """
    with np.load(evaluation.path / MAP_NAME, allow_pickle=False) as stored:
        indices, points = stored["indices"], stored["points"]
    labels, answers = _test_array(evaluation.dataset, "labels"), _read_answers(evaluation)
    if len(labels) != len(answers):
        message = "The dataset has another number of test images than were evaluated."
        raise ValueError(message)
    return ImageMap(indices=indices, points=points, labels=np.array(labels[indices]), answers=answers[indices])


def read_bank(evaluation: Evaluation) -> Bank:
    """Return the bank of an evaluation with files.

    Raises:
        OSError: the file is not there.
        ValueError: it is damaged.
    """
    with np.load(evaluation.path / BANK_NAME, allow_pickle=False) as stored:
        return Bank(indices=stored["indices"], vectors=stored["vectors"].astype(np.float32))


def _read_answers(evaluation: Evaluation) -> NDArray[np.integer]:
    answers: NDArray[np.integer] = np.load(evaluation.path / ANSWERS_NAME, allow_pickle=False)
    return answers


def _test_array(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(dataset.path / f"test_{name}.npy", mmap_mode="r", allow_pickle=False)
    return array

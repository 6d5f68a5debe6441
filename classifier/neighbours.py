"""Which images of a dataset are the most alike to a picture, as a model sees them.

The last layer sees each image as a vector. An evaluation keeps those of some thousand training images, its *bank*; the
web compares with these alone, and takes the pictures from the dataset's own arrays.

Source: Caruana et al. 1999, "Case-based explanation of non-case-based learning methods", AMIA Symposium; cosine of the
features as in Sun et al. 2022, arXiv 2204.06507.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.activation_maps import NoActivationMapError, load_explainer, seen_pixels
from classifier.models import Prediction
from training.models import Dataset, Evaluation, ModelVersion
from training.sights import Bank, find_evaluation, read_bank

logger = logging.getLogger(__name__)

SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of the most alike images.

    Attributes:
        index: its place in the dataset's training split.
        class_key: what the dataset says it shows.
        similarity: cosine of the angle between both vectors; 1 for the same image.
        pixels: (32, 32, 3) uint8.
    """

    index: int
    class_key: str
    similarity: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The most alike images of a bank, the nearest first.

    Attributes:
        dataset: where they are from.
        is_own: whether the model learned from this dataset.
        compared: how many images the bank holds.
        nearest: the images.
    """

    dataset: Dataset
    is_own: bool
    compared: int
    nearest: list[Neighbour]


def has_bank(version: ModelVersion) -> bool:
    """Whether an evaluation of the version keeps what it sees of training images."""
    return Evaluation.objects.with_files().filter(version=version).exists()


def find_neighbours(prediction: Prediction, *, count: int = SHOWN) -> Neighbours | None:
    """Return the images that the model that answered sees the most alike to the picture.

    Args:
        prediction: its `model_version` is loaded.
        count: how many.

    Returns:
        None where the version was not evaluated, files are gone, or what the model saw was not kept.
    """
    pixels, version = seen_pixels(prediction), prediction.model_version
    evaluation = None if pixels is None else find_evaluation(version)
    if pixels is None or evaluation is None:
        return None
    dataset = evaluation.dataset
    try:
        bank = _read(evaluation)
        similarities = bank.vectors @ load_explainer(version).describe(pixels).astype(np.float32)
        pictures, labels = _training_array(dataset, "images"), _training_array(dataset, "labels")
        nearest = np.argsort(-similarities, kind="stable")[:count]
        return Neighbours(
            dataset=dataset,
            is_own=version.manifest["dataset"]["sha256"] == dataset.sha256,
            compared=len(bank.indices),
            nearest=[
                Neighbour(
                    index=int(bank.indices[place]),
                    class_key=dataset.class_keys[int(labels[bank.indices[place]])],
                    similarity=float(similarities[place]),
                    pixels=np.array(pictures[bank.indices[place]]),
                )
                for place in nearest
            ],
        )
    except (NoActivationMapError, OSError, ValueError, IndexError) as error:
        logger.warning("The images of %s cannot be compared with: %s", dataset, error)
        return None


def _training_array(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(dataset.path / f"train_{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


@lru_cache(maxsize=2)
def _read(evaluation: Evaluation) -> Bank:
    return read_bank(evaluation)

"""Which images of a dataset are the most alike to a picture, as a model sees them.

The last layer sees each image as a vector. A command makes a *bank* of some thousand of a dataset's training images:
their vectors, one file for each model version, beside the packages on this machine. The web compares with those alone,
and takes the pictures from the dataset's own arrays. A bank can always be made anew, so that no backup has it.

Source: Caruana et al. 1999, "Case-based explanation of non-case-based learning methods", AMIA Symposium; cosine of the
features as in Sun et al. 2022, arXiv 2204.06507.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from classifier.activation_maps import NoActivationMapError, load_explainer, seen_pixels
from classifier.models import Prediction
from training.models import Dataset, ModelVersion
from training.storage import DRAFTS, artifacts

logger = logging.getLogger(__name__)

BANK_IMAGES: Final = 5_000
"""Images of a bank where nobody says otherwise: 15 s to make for the shipped model, 2 MB."""

SHOWN: Final = 6
_BANKS: Final = "banks"
_REPORT_EVERY: Final = 100


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


@dataclass(frozen=True, slots=True)
class _Bank:
    vectors: NDArray[np.float32]  # (N, C), of length 1
    indices: NDArray[np.int64]  # (N,), places in the training split
    dataset_sha256: str


def has_bank(version: ModelVersion) -> bool:
    """Whether there is a bank of the version on this machine."""
    return _path(version).is_file()


def build_bank(*, version: ModelVersion, dataset: Dataset, images: int, on_progress: Callable[[int, int], None]) -> int:
    """Make the bank of a version, in place of the one that there may be. It takes milliseconds for each image.

    Args:
        version: whose eyes are used.
        dataset: whose training images, spread evenly over the split.
        images: how many at most.
        on_progress: is told how many are done, and of how many.

    Returns:
        How many images the bank holds.

    Raises:
        NoActivationMapError: the version's package is gone or damaged.
        OSError: the dataset's arrays are not there, or the bank cannot be written.
        ValueError: the arrays are damaged.
    """
    explainer = load_explainer(version)
    pictures = _training_array(dataset, "images")
    indices = np.unique(np.linspace(0, len(pictures) - 1, min(images, len(pictures))).astype(np.int64))
    vectors = []
    for done, index in enumerate(indices, start=1):
        vectors.append(explainer.describe(pictures[index]).astype(np.float16))
        if done % _REPORT_EVERY == 0 or done == len(indices):
            on_progress(done, len(indices))
    draft = artifacts(DRAFTS, uuid4().hex, "bank.npz")
    draft.parent.mkdir(parents=True)
    np.savez(draft, vectors=np.stack(vectors), indices=indices, dataset_sha256=np.array(dataset.sha256))
    _path(version).parent.mkdir(parents=True, exist_ok=True)
    draft.replace(_path(version))
    draft.parent.rmdir()
    return len(indices)


def find_neighbours(prediction: Prediction, *, count: int = SHOWN) -> Neighbours | None:
    """Return the images that the model that answered sees the most alike to the picture.

    Args:
        prediction: its `model_version` is loaded.
        count: how many.

    Returns:
        None where there is no bank of the version, its dataset is gone, or what the model saw was not kept.
    """
    pixels, version = seen_pixels(prediction), prediction.model_version
    try:
        bank = _read(_path(version), _path(version).stat().st_mtime_ns)
    except FileNotFoundError:
        return None
    except (BadZipFile, KeyError, ValueError) as error:
        logger.warning("The bank of model version %s cannot be read, make it anew: %s", version, error)
        return None
    dataset = Dataset.objects.filter(sha256=bank.dataset_sha256).first()
    if pixels is None or dataset is None:
        return None
    try:
        similarities = bank.vectors @ load_explainer(version).describe(pixels).astype(np.float32)
        pictures, labels = _training_array(dataset, "images"), _training_array(dataset, "labels")
    except (NoActivationMapError, OSError, ValueError) as error:
        logger.warning("The images of %s cannot be compared with: %s", dataset, error)
        return None
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


def _path(version: ModelVersion) -> Path:
    return artifacts(_BANKS, f"{version.package_sha256}.npz")


def _training_array(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(dataset.path / f"train_{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


@lru_cache(maxsize=2)
def _read(path: Path, _changed_ns: int) -> _Bank:
    with np.load(path, allow_pickle=False) as stored:
        return _Bank(
            vectors=stored["vectors"].astype(np.float32),
            indices=stored["indices"],
            dataset_sha256=str(stored["dataset_sha256"]),
        )

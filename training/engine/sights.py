"""What a network sees of a dataset's single images, kept in files beside the figures of its evaluation.

Which answer each test image got, where test images lie on a map, and what it sees of training images, for others to be
compared with.

The map is a t-SNE of the features' directions: images that the network sees alike lie near each other; distances
between groups, and the axes, mean nothing. Source: van der Maaten and Hinton 2008, "Visualizing data using t-SNE",
Journal of Machine Learning Research 9, pages 2579 to 2605; started from the principal components, as Kobak and Berens
2019, Nature Communications 10:5416, advise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.engine.assess import Assessment, StageCallback
from training.engine.constants import ANSWERS_NAME, BANK_NAME, MAP_NAME, SIGHT_STAGES
from training.engine.data import Split, spread_rows
from training.engine.device import reference_device
from training.engine.evaluate import predict
from training.engine.networks import Network
from training.engine.progress import repeat_slowly

BANK_IMAGES: Final = 5_000
"""Training images that others are compared with: some 2 MB of float16 directions for the shipped network."""

MAP_IMAGES: Final = 2_000
"""Test images on the map: more are a cloud without gaps, and take longer than linearly."""

PERPLEXITY: Final = 30.0
"""Neighbours of an image that the map minds, as the method's authors use it; fewer where there are few images."""

_LEAST_ON_A_MAP: Final = 8


def keep_sights(
    folder: Path,
    *,
    network: Network,
    assessment: Assessment,
    training: Split,
    first_stage: int,
    on_stage: StageCallback,
) -> None:
    """Write the three files into `folder`.

    - `answers.npy`: (N,) uint16, position of the class that each test image got.
    - `bank.npz`: `indices` (B,) int64, training images spread evenly over their split, and `vectors` (B, D) float16,
      the directions in which the last layer sees them, of length 1.
    - `map.npz`: `indices` (M,) int64, test images spread evenly over their split, and `points` (M, 2) float32, each
      coordinate from 0 to 1; without any image where there are too few.

    Args:
        folder: An existing directory.
        network: On the CPU, with its weights as stored.
        assessment: What was measured of it.
        training: The training images.
        first_stage: Number of the first of `SIGHT_STAGES`.
        on_stage: Told each of them, and again every few seconds while the first lasts.

    Raises:
        OSError: A file cannot be written.
    """
    np.save(folder / ANSWERS_NAME, assessment.logits.argmax(dim=1).numpy().astype(np.uint16), allow_pickle=False)

    def tell() -> None:
        on_stage(first_stage, SIGHT_STAGES[0])

    tell()
    seen = spread_rows(len(training), count=BANK_IMAGES)
    features = predict(network, training.images[seen], device=reference_device(), on_batch=repeat_slowly(tell)).features
    np.savez(folder / BANK_NAME, indices=seen.numpy(), vectors=_directions(features).numpy().astype(np.float16))
    on_stage(first_stage + 1, SIGHT_STAGES[1])
    shown = spread_rows(len(assessment.features), count=MAP_IMAGES)
    points = draw_map(assessment.features[shown])
    np.savez(folder / MAP_NAME, indices=shown[: len(points)].numpy(), points=points)


def draw_map(features: Tensor) -> NDArray[np.float32]:
    """Arrange images in the plane so that those that are seen alike are near each other.

    Args:
        features: (M, D) float.

    Returns:
        (M, 2) float32 in [0, 1], the longer side of the arrangement filled; (0, 2) of fewer than eight images.
    """
    from sklearn.manifold import TSNE  # noqa: PLC0415 - takes a second; a training run needs none of it

    if len(features) < _LEAST_ON_A_MAP:
        return np.empty((0, 2), dtype=np.float32)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    arrange = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0)
    points = arrange.fit_transform(_directions(features).numpy())
    lowest = points.min(axis=0)
    size = float((points - lowest).max())
    scaled: NDArray[np.float32] = ((points - lowest) / size if size else points - lowest).astype(np.float32)
    return scaled


def _directions(features: Tensor) -> Tensor:
    return functional.normalize(features, dim=1)

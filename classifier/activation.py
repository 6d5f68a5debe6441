"""Where a network looked: how much each field of its last feature map adds to the score of each class.

A class activation map (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv 1512.04150)
weighs the feature map by the last layer's weights of a class. That layer sees the pooled map, so what a field adds
depends on the pooling, and is taken exactly here: the fields, and the bias where there is one, add up to the logit.

- Mean over the fields, then linear: each field adds its weighted value divided by the number of fields.
- Largest value of each channel, then linear, divided by the number of channels (our own network): a channel counts
  only where it is largest, as in Oquab et al. 2015, "Is object localization for free?", CVPR. Fields that tie share.

The limits are those of the feature map. It has few fields, each of which sees far more of the picture than the place it
stands for; and a large share says what the score was made of, not why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.engine.architectures import WHITENED_CNN
from training.engine.constants import IMAGE_SIZE

Floats = NDArray[np.float64]
Pooling = Literal["max", "mean"]

AGREEMENT: Final = 1e-3
"""Largest accepted difference between a logit and the sum of its fields; of the shipped model it is near 1e-6."""

_STRIDE: Final = 8
"""Pixels from one field of our own network to the next: three poolings by two."""

_FIRST_CENTRE: Final = 4.5
"""Middle of its first field, from the picture's edge: its 2×2 filters have no padding, so that 31 pixels are pooled."""


@dataclass(frozen=True, slots=True)
class Head:
    """A last layer and the pooling before it.

    Attributes:
        weights: (K, C) float64, what multiplies the pooled channels.
        bias: (K,) float64.
        pooling: how a channel's fields become one number.
    """

    weights: Floats
    bias: Floats
    pooling: Pooling


@dataclass(frozen=True, slots=True)
class ActivationMap:
    """What the fields of one picture add to each class's logit.

    Attributes:
        class_keys: K names, in the order of the logits.
        logits: (K,) float64, as the network gives them, not divided by the temperature.
        fields: (K, h, w) float64; with the bias they add up to the logits.
        rows: h positions of the fields' middles, in pixels from the upper edge of the 32×32 picture.
        columns: w positions, from the left edge.
    """

    class_keys: tuple[str, ...]
    logits: Floats
    fields: Floats
    rows: tuple[float, ...]
    columns: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest amount by which any field changes any class's logit: the classes share one scale."""
        return float(np.abs(self.fields).max())

    def fields_of(self, class_key: str) -> Floats:
        """Return the (h, w) fields of one class.

        Raises:
            KeyError: the model knows no such class.
        """
        if class_key not in self.class_keys:
            raise KeyError(class_key)
        fields: Floats = self.fields[self.class_keys.index(class_key)]
        return fields


def share_out(feature_map: NDArray[np.float32], head: Head) -> Floats:
    """Return what each field adds to each class's logit, the bias left out.

    Args:
        feature_map: (C, h, w).
        head: of C channels and K classes.

    Returns:
        (K, h, w) float64.
    """
    features = feature_map.astype(np.float64)
    if head.pooling == "mean":
        pooled = features / features[0].size
    else:
        is_largest = features == features.max(axis=(1, 2), keepdims=True)
        pooled = features * is_largest / is_largest.sum(axis=(1, 2), keepdims=True) / len(features)
    fields: Floats = np.einsum("kc,chw->khw", head.weights, pooled)
    return fields


def pool(feature_map: NDArray[np.float32], pooling: Pooling) -> Floats:
    """Return what the last layer sees of a feature map (C, h, w), as a direction: (C,) of length 1, or zero."""
    features = feature_map.astype(np.float64)
    pooled: Floats = features.max(axis=(1, 2)) if pooling == "max" else features.mean(axis=(1, 2))
    length = float(np.linalg.norm(pooled))
    return pooled / length if length else pooled


def adds_up(fields: Floats, head: Head, logits: NDArray[np.float32]) -> bool:
    """Say whether the fields and the head's bias make the logits (K,) that the network gave."""
    return bool(np.abs(fields.sum(axis=(1, 2)) + head.bias - logits).max() <= AGREEMENT)


def pooling_of(architecture: str) -> Pooling:
    """Return how an architecture's fields become one number for each channel."""
    return "max" if architecture == WHITENED_CNN else "mean"


def field_centres(architecture: str, count: int) -> tuple[float, ...]:
    """Return the middles of the fields along one side of the picture, in pixels from its edge.

    Networks of the timm library pad and enlarge, so that their fields share the side evenly; our own network's poolings
    leave out what does not fill a field.

    Args:
        architecture: its name.
        count: number of fields.
    """
    if architecture == WHITENED_CNN:
        return tuple(_FIRST_CENTRE + _STRIDE * number for number in range(count))
    return tuple((number + 0.5) * IMAGE_SIZE / count for number in range(count))

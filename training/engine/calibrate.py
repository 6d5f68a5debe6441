"""What turns logits into honest answers: a temperature, and a threshold below which an image looks foreign."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor
from torch.nn import functional

from training.engine.constants import KEPT_FRACTION

GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
LOG_TEMPERATURE_BOUND: Final = 5.0
"""Temperatures are searched between e⁻⁵ and e⁵."""

SEARCH_STEPS: Final = 60
"""Golden-section steps: the bracket shrinks to 10 × 0.618⁶⁰, about 3e-12."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Find the temperature that minimises the negative log-likelihood of softmax(logits / temperature).

    The likelihood has one maximum in the inverse temperature, so a golden-section search finds it.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599.

    Args:
        logits: (N, K) float, of images that the network was not trained on.
        labels: (N,) int64.
    """
    logits = logits.double()

    def cost(log_temperature: float) -> float:
        return functional.cross_entropy(logits / math.exp(log_temperature), labels).item()

    low, high = -LOG_TEMPERATURE_BOUND, LOG_TEMPERATURE_BOUND
    for _ in range(SEARCH_STEPS):
        left = high - GOLDEN_RATIO * (high - low)
        right = low + GOLDEN_RATIO * (high - low)
        if cost(left) <= cost(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def fit_threshold(scores: Tensor, *, kept_fraction: float = KEPT_FRACTION) -> float:
    """Find the score below which an image counts as out of distribution.

    Args:
        scores: (N,) float, of images of the known classes that the network was not trained on; larger for images that
            look more like one of them.
        kept_fraction: Share of those images whose score is at least the threshold.
    """
    return scores.double().quantile(1 - kept_fraction, interpolation="lower").item()

"""How much an image looks like one of the known classes: three scores, larger for such images, and how well they tell.

The scores of logits take them as the network gives them, not divided by the calibration temperature: that is fitted to
the confidence in the known classes and says nothing about other images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.calibrate import fit_threshold
from training.engine.evaluate import Answers

NEAREST_CLASS: Final = "nearest_class"


def score_energy(logits: Tensor) -> Tensor:
    """Return the negative energy log Σ exp(logit), at energy temperature 1: (N, K) → (N,).

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", arXiv 2010.03759.
    """
    return logits.double().logsumexp(dim=1)


def score_max_logit(logits: Tensor) -> Tensor:
    """Return the largest logit: (N, K) → (N,).

    Source: Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection for Real-World Settings", arXiv 1911.11132.
    """
    return logits.double().max(dim=1).values


def score_nearest_class(features: Tensor, *, class_means: Tensor) -> Tensor:
    """Return the cosine of the angle to the nearest class's mean feature.

    Source: Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", arXiv 2204.06507, with one
    neighbour for each class, their mean, in place of a bank of training images.

    Args:
        features: (N, D) float.
        class_means: (K, D) float, of length 1; see `mean_directions`.
    """
    return (functional.normalize(features.double(), dim=1) @ class_means.T).max(dim=1).values


def mean_directions(features: Tensor, labels: Tensor) -> Tensor:
    """Return the direction of each class's mean feature, (K, D) float64 of length 1.

    Args:
        features: (N, D) float.
        labels: (N,) int64; every class in [0, K) occurs.
    """
    directions = functional.normalize(features.double(), dim=1)
    sums = torch.stack([directions[labels == label].sum(dim=0) for label in range(int(labels.max()) + 1)])
    return functional.normalize(sums, dim=1)


LOGIT_SCORES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {"energy": score_energy, "max_logit": score_max_logit}
"""The scores that a served model can give without anything but its logits, by their name in manifests."""


def auroc(*, inside: Tensor, outside: Tensor) -> float:
    """Return the probability that an image of a class scores higher than a foreign one; a tie counts half.

    Args:
        inside: (N,) float, scores of images of the classes.
        outside: (M,) float, scores of foreign images.
    """
    ordered = outside.sort().values
    below = torch.searchsorted(ordered, inside, right=False)
    not_above = torch.searchsorted(ordered, inside, right=True)
    return ((below + not_above).double().mean() / (2 * len(outside))).item()


def compare_scores(
    *, held_out: Answers, test: Answers, foreign: Mapping[str, Answers], class_means: Tensor
) -> list[dict[str, Any]]:
    """Measure how well each score tells foreign images from those of the classes.

    Args:
        held_out: Images of the classes that set the thresholds.
        test: Other images of the classes, for the AUROC.
        foreign: Images of no class, by source.
        class_means: (K, D) float, for the score of features.

    Returns:
        For each `score`: the `threshold` that keeps 95 % of the held-out images, the share of test images that it
        keeps (`test_kept`), and for each of `sources` the `auroc` and the share `detected`, below the threshold; both
        also as means over the sources.
    """
    scores: dict[str, Callable[[Answers], Tensor]] = {
        name: lambda answers, score=score: score(answers.logits)  # type: ignore[misc]
        for name, score in LOGIT_SCORES.items()
    }
    scores[NEAREST_CLASS] = lambda answers: score_nearest_class(answers.features, class_means=class_means)
    return [
        {"score": name, **_measure(score, held_out=held_out, test=test, foreign=foreign)}
        for name, score in scores.items()
    ]


def choose_score(comparison: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the score to serve: of those that need only logits, the one that detects the largest share.

    The choice rests on held-out and foreign images alone. Why no score of features: docs/decisions/0010.
    """
    return max((row for row in comparison if row["score"] in LOGIT_SCORES), key=lambda row: float(row["detected"]))


def _measure(
    score: Callable[[Answers], Tensor], *, held_out: Answers, test: Answers, foreign: Mapping[str, Answers]
) -> dict[str, Any]:
    threshold = fit_threshold(score(held_out))
    inside = score(test)
    outside = {source: score(answers) for source, answers in foreign.items()}
    aurocs = {source: auroc(inside=inside, outside=scores) for source, scores in outside.items()}
    detected = {source: (scores < threshold).double().mean().item() for source, scores in outside.items()}
    return {
        "threshold": threshold,
        "test_kept": (inside >= threshold).double().mean().item(),
        "auroc": sum(aurocs.values()) / len(aurocs),
        "detected": sum(detected.values()) / len(detected),
        "sources": [{"source": source, "auroc": aurocs[source], "detected": detected[source]} for source in outside],
    }

"""Where a classifier errs: the pairs of classes that it confuses, and the images that it gets most wrong."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.engine.data import Split

PAIR_COUNT: Final = 10
"""Pairs of classes that are listed."""

MISTAKE_COUNT: Final = 16
"""Images that are listed; their pictures travel in the manifest."""


def most_confused_pairs(
    confusion: Tensor, *, class_keys: Sequence[str], limit: int = PAIR_COUNT
) -> list[dict[str, Any]]:
    """List the pairs of a true and a predicted class with the most images, the most first; ties in label order.

    Args:
        confusion: (K, K) int64, rows are true classes.
        class_keys: Names of the K classes.
        limit: How many pairs at most.

    Returns:
        For each pair `class_key`, `predicted`, `count` and `share`, the fraction of the true class's images.
    """
    wrong = confusion.clone().fill_diagonal_(0)
    support = confusion.sum(dim=1)
    cells = wrong.flatten().argsort(descending=True, stable=True)[:limit]
    pairs = [(cell // len(class_keys), cell % len(class_keys)) for cell in cells.tolist()]
    return [
        {
            "class_key": class_keys[row],
            "predicted": class_keys[column],
            "count": int(wrong[row, column]),
            "share": int(wrong[row, column]) / int(support[row]),
        }
        for row, column in pairs
        if wrong[row, column]
    ]


def hardest_mistakes(
    logits: Tensor, labels: Tensor, *, class_keys: Sequence[str], temperature: float, limit: int = MISTAKE_COUNT
) -> list[dict[str, Any]]:
    """List the wrongly classified images whose true class seemed the least likely, the worst first.

    Args:
        logits: (N, K) float.
        labels: (N,) int64.
        class_keys: Names of the K classes.
        temperature: Calibration temperature.
        limit: How many images at most.

    Returns:
        For each image `index`, its position in the split, `class_key`, `predicted`, `confidence`, the probability of
        the predicted class, and `loss`, the cross-entropy; both of softmax(logits / temperature).
    """
    calibrated = logits.double() / temperature
    losses = functional.cross_entropy(calibrated, labels, reduction="none")
    confidence, predicted = calibrated.softmax(dim=1).max(dim=1)
    wrong = (predicted != labels).nonzero().flatten()
    worst = wrong[losses[wrong].argsort(descending=True, stable=True)[:limit]]
    return [
        {
            "index": index,
            "class_key": class_keys[int(labels[index])],
            "predicted": class_keys[int(predicted[index])],
            "confidence": confidence[index].item(),
            "loss": losses[index].item(),
        }
        for index in worst.tolist()
    ]


def draw_pictures(split: Split, *, mistakes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mistakes, each with its `picture`, a PNG in base64.

    Args:
        split: The images among which they are.
        mistakes: See `hardest_mistakes`.
    """
    return [{**mistake, "picture": _encode_png(split.images[mistake["index"]])} for mistake in mistakes]


def _encode_png(image: Tensor) -> str:
    """Return an image (32, 32, 3) uint8 as a PNG in base64."""
    buffer = BytesIO()
    Image.fromarray(image.numpy()).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")

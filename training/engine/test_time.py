"""Test-time augmentation: what the mean answer to several views of an image would gain, and what it costs.

Nothing is served this way; a manifest tells what it would be worth.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from training.engine.augment import crop_and_flip
from training.engine.constants import IMAGE_SIZE
from training.engine.data import Split
from training.engine.device import Device
from training.engine.evaluate import BatchCallback, ignore_batch, predict_logits
from training.engine.metrics import top_k_accuracy

SHIFT: Final = 1
"""Pixels by which a view is moved, down and right or up and left, as in Jordan 2024, arXiv 2404.00498."""

View = tuple[int, bool]
"""How far an image is moved, and whether it is mirrored."""

PLAIN: Final[View] = (0, False)
MIRRORED: Final[View] = (0, True)
POLICIES: Final[Mapping[str, tuple[View, ...]]] = {
    "flip": (PLAIN, MIRRORED),
    "flip_shift": tuple((shift, flip) for shift in (0, -SHIFT, SHIFT) for flip in (False, True)),
}
"""Views by policy; the logits of a policy are the mean over its views."""


def make_view(images: Tensor, *, shift: int, flip: bool) -> Tensor:
    """Move images along their diagonal, continued by reflection, and mirror them left to right.

    Args:
        images: (N, 32, 32, 3) uint8.
        shift: Pixels by which the image moves up and left.
        flip: Whether to mirror.
    """
    corners = torch.full((len(images), 2), shift)
    return crop_and_flip(images, corners=corners, side=IMAGE_SIZE, flips=torch.full((len(images),), flip))


def measure_policies(
    network: nn.Module, split: Split, *, device: Device, on_batch: BatchCallback = ignore_batch
) -> list[dict[str, Any]]:
    """Measure every policy, computing each view once.

    Args:
        network: The network.
        split: Test images.
        device: Where the network is.
        on_batch: Called before each batch of each view.

    Returns:
        For each policy its `name`, number of `views`, `accuracy`, `gain` over the plain image's, a difference of
        fractions, and `cost`, how many times as long it takes.
    """
    views = dict.fromkeys(view for policy in POLICIES.values() for view in policy)
    logits: dict[View, Tensor] = {}
    seconds: dict[View, float] = {}
    for shift, flip in views:
        start = time.perf_counter()
        seen = Split(images=make_view(split.images, shift=shift, flip=flip), labels=split.labels)
        logits[shift, flip] = predict_logits(network, seen, device=device, on_batch=on_batch)
        seconds[shift, flip] = time.perf_counter() - start
    plain = top_k_accuracy(logits[PLAIN], split.labels, k=1)
    return [
        {
            "name": name,
            "views": len(policy),
            "accuracy": (accuracy := top_k_accuracy(average_logits(logits, policy), split.labels, k=1)),
            "gain": accuracy - plain,
            "cost": sum(seconds[view] for view in policy) / seconds[PLAIN],
        }
        for name, policy in POLICIES.items()
    ]


def average_logits(logits: Mapping[View, Tensor], policy: tuple[View, ...]) -> Tensor:
    """Return the mean over a policy's views of their logits, (N, K) each."""
    return torch.stack([logits[view] for view in policy]).mean(dim=0)

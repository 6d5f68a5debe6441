"""MixUp and CutMix: batches blended with themselves in another order, with labels in the same shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.engine.config import TrainConfig
from training.engine.device import send
from training.engine.seed import make_numpy_generator


@dataclass(frozen=True, slots=True)
class Mix:
    """How one batch is mixed.

    Attributes:
        order: (N,) int64, each image's partner.
        weight: λ, the share of an image's own label, in [0, 1].
        box: Top, left, bottom and right of what comes from the partner; None blends the whole image (MixUp).
    """

    order: Tensor
    weight: float
    box: tuple[int, int, int, int] | None

    def to(self, device: torch.device) -> Mix:
        """Return the mix for a batch in a device's memory."""
        return replace(self, order=send(self.order, device))


def draw_mix(count: int, *, size: int, config: TrainConfig, epoch: int, step: int) -> Mix | None:
    """Decide whether and how the batch of one step is mixed.

    λ is drawn once for a batch from Beta(α, α), as in both papers' own programs.

    Args:
        count: Images in the batch N.
        size: Side of the images, in pixels.
        config: Probabilities, α and seed.
        epoch: Epoch, counted from 0.
        step: Global step, counted from 0.
    """
    generator = make_numpy_generator(seed=config.seed, purpose="mix", epoch=epoch, step=step)
    chance = generator.random()
    is_mixup = chance < config.mixup_probability
    if not is_mixup and chance >= config.mixup_probability + config.cutmix_probability:
        return None
    order = torch.from_numpy(generator.permutation(count))
    alpha = config.mixup_alpha if is_mixup else config.cutmix_alpha
    weight = float(generator.beta(alpha, alpha))
    if is_mixup:
        return Mix(order=order, weight=weight, box=None)
    center = (int(generator.integers(size)), int(generator.integers(size)))
    box = place_box(weight, center=center, size=size)
    return Mix(order=order, weight=own_share(box, size=size), box=box)


def place_box(weight: float, *, center: tuple[int, int], size: int) -> tuple[int, int, int, int]:
    """Return CutMix's box: a square of area 1 - λ around a centre, cut off at the image's borders.

    Args:
        weight: λ before cutting off, in [0, 1].
        center: Row and column.
        size: Side of the images, in pixels.
    """
    side = int(size * math.sqrt(1 - weight))
    top, left = (position - side // 2 for position in center)
    return max(0, top), max(0, left), min(size, top + side), min(size, left + side)


def own_share(box: tuple[int, int, int, int], *, size: int) -> float:
    """Return λ after cutting off: the share of an image that its box leaves."""
    top, left, bottom, right = box
    return 1 - (bottom - top) * (right - left) / size**2


def mix_images(images: Tensor, mix: Mix) -> Tensor:
    """Mix each image with its partner.

    Source: Zhang et al. 2017, arXiv 1710.09412 (MixUp); Yun et al. 2019, arXiv 1905.04899 (CutMix).

    Args:
        images: (N, 3, S, S) float.
        mix: Partners and shares.

    Returns:
        (N, 3, S, S) float, new memory.
    """
    if mix.box is None:
        return images[mix.order].lerp_(images, mix.weight)
    top, left, bottom, right = mix.box
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[..., top:bottom, left:right][mix.order]
    return mixed


def mix_labels(labels: Tensor, mix: Mix, *, class_count: int) -> Tensor:
    """Return the shares of the classes after mixing.

    Args:
        labels: (N,) int64.
        mix: Partners and shares.
        class_count: Number of classes K.

    Returns:
        (N, K) float, rows sum to 1.
    """
    targets = (labels.unsqueeze(1) == torch.arange(class_count, device=labels.device)).float()
    return mix.weight * targets + (1 - mix.weight) * targets[mix.order]

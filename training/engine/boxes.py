"""Rectangles in images: what random erasing paints over and CutMix replaces."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from training.engine.seed import make_generator

ERASED_SHARES: Final = (0.02, 1 / 3)
ERASED_RATIOS: Final = (0.3, 3.3)
"""Areas, relative to the image, and aspect ratios (Zhong et al. 2017, arXiv 1708.04896, section 4)."""


def is_inside(boxes: Tensor, *, size: int) -> Tensor:
    """Say which pixels of square images lie in their boxes.

    Args:
        boxes: (N, 4) int64: top, left, bottom and right, the last two excluded; empty where bottom is not below top.
        size: Side of the images, in pixels.

    Returns:
        (N, 1, size, size) bool.
    """
    across = torch.arange(size, device=boxes.device)
    is_row = (across >= boxes[:, :1]) & (across < boxes[:, 2:3])  # (N, size)
    is_column = (across >= boxes[:, 1:2]) & (across < boxes[:, 3:])
    return (is_row.unsqueeze(2) & is_column.unsqueeze(1)).unsqueeze(1)


def draw_erasing_boxes(count: int, *, size: int, probability: float, seed: int, epoch: int, step: int) -> Tensor:
    """Draw one rectangle for each image, wholly inside it; empty where nothing is to be erased.

    A rectangle whose aspect ratio does not fit is cut to the image's side instead of being drawn again.

    Args:
        count: Number of images N.
        size: Side of the images, in pixels.
        probability: Of a rectangle, in [0, 1].
        seed: The run's seed.
        epoch: Epoch, counted from 0.
        step: Global step, counted from 0.

    Returns:
        (N, 4) int64, as in `is_inside`.
    """
    chance, share, ratio, top, left = torch.rand(
        5, count, generator=make_generator(seed=seed, purpose="erase", epoch=epoch, step=step)
    )
    share = ERASED_SHARES[0] + share * (ERASED_SHARES[1] - ERASED_SHARES[0])
    low, high = (math.log(bound) for bound in ERASED_RATIOS)
    ratio = torch.exp(low + ratio * (high - low))
    heights = (size * (share * ratio).sqrt()).round().long().clamp(1, size)
    widths = (size * (share / ratio).sqrt()).round().long().clamp(1, size)
    heights = torch.where(chance < probability, heights, 0)
    tops = (top * (size - heights + 1)).long()
    lefts = (left * (size - widths + 1)).long()
    return torch.stack([tops, lefts, tops + heights, lefts + widths], dim=1)


def erase(images: Tensor, *, boxes: Tensor, fill: Tensor) -> Tensor:
    """Paint each image's box over.

    Source: Zhong et al. 2017, arXiv 1708.04896 (random erasing with the mean colour).

    Args:
        images: (N, 3, S, S) float in [0, 1].
        boxes: (N, 4) int64, as in `is_inside`.
        fill: (3,) float, the colour to paint with.

    Returns:
        (N, 3, S, S) float, new memory.
    """
    return torch.where(is_inside(boxes, size=images.shape[-1]), fill.view(-1, 1, 1), images)

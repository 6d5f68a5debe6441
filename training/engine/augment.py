"""Augmentation of whole batches by index arithmetic: crops, flips, cutout.

Source: Jordan 2024, arXiv 2404.00498, section 3.6 (alternating flip).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from training.engine.seed import Purpose, make_generator


def alternate_flips(flipped_first: Tensor, *, epoch: int) -> Tensor:
    """Say which images are mirrored in one epoch: a random half in epoch 0, the others next, and so on in turn.

    Each pair of epochs so shows every image once in each orientation, where independent draws would repeat half.

    Args:
        flipped_first: (N,) bool, the images mirrored in epoch 0.
        epoch: Epoch, counted from 0.

    Returns:
        (N,) bool.
    """
    return flipped_first ^ (epoch % 2 == 1)


def draw_first_flips(count: int, *, seed: int) -> Tensor:
    """Draw the images that are mirrored in epoch 0, as (count,) bool."""
    return torch.rand(count, generator=make_generator(seed=seed, purpose="flip")) < 0.5


def draw_flips(count: int, *, seed: int, epoch: int, step: int) -> Tensor:
    """Draw which images of one step are mirrored, as (count,) bool."""
    return torch.rand(count, generator=make_generator(seed=seed, purpose="flip", epoch=epoch, step=step)) < 0.5


def draw_corners(
    count: int, *, side: int, image_size: int, purpose: Purpose, seed: int, epoch: int, step: int, margin: int = 0
) -> Tensor:
    """Draw where squares lie in images, every place alike.

    Args:
        count: Number of squares N.
        side: Side of the squares, in pixels.
        image_size: Side of the images, in pixels.
        purpose: What the squares are for; each purpose has draws of its own.
        seed: The run's seed.
        epoch: Epoch, counted from 0.
        step: Global step, counted from 0.
        margin: Pixels by which a square may reach beyond any border.

    Returns:
        (N, 2) int64, row and column of each square's top left pixel, in [-margin, image_size - side + margin].
    """
    generator = make_generator(seed=seed, purpose=purpose, epoch=epoch, step=step)
    return torch.randint(-margin, image_size - side + margin + 1, (count, 2), generator=generator)


def crop_and_flip(
    images: Tensor, *, corners: Tensor, side: int, flips: Tensor, fill: Literal["reflect", "zero"] = "reflect"
) -> Tensor:
    """Cut a square out of each image, continued beyond its borders, and mirror some left to right.

    Args:
        images: (N, H, W, 3) uint8.
        corners: (N, 2) int64, row and column of each square's top left pixel; less than H and W beyond a border.
        side: Side of the squares, in pixels.
        flips: (N,) bool, the squares to mirror.
        fill: What lies beyond the borders: the image's reflection, or black.

    Returns:
        (N, side, side, 3) uint8, new memory.
    """
    count, height, width, _ = images.shape
    across = torch.arange(side, device=images.device)
    rows = corners[:, :1] + across  # (N, side)
    columns = corners[:, 1:] + torch.where(flips.unsqueeze(1), side - 1 - across, across)
    each = torch.arange(count, device=images.device).view(-1, 1, 1)
    inner_rows, inner_columns = _reflect(rows, size=height), _reflect(columns, size=width)
    crops = images[each, inner_rows.unsqueeze(2), inner_columns.unsqueeze(1)]
    if fill == "reflect":
        return crops
    is_inside = (rows == inner_rows).unsqueeze(2) & (columns == inner_columns).unsqueeze(1)  # (N, side, side)
    return crops * is_inside.unsqueeze(3)


def cut_out(images: Tensor, *, corners: Tensor, side: int, fill: Tensor) -> Tensor:
    """Paint one square of each image over.

    Source: DeVries & Taylor 2017, arXiv 1708.04552; squares wholly inside as in Jordan 2024 (airbench96).

    Args:
        images: (N, H, W, 3) uint8.
        corners: (N, 2) int64, row and column of each square's top left pixel.
        side: Side of the squares, in pixels.
        fill: (3,) uint8, the colour to paint with.

    Returns:
        (N, H, W, 3) uint8, new memory.
    """
    _, height, width, _ = images.shape
    rows = torch.arange(height, device=images.device) - corners[:, :1]  # (N, H), distance below the corner
    columns = torch.arange(width, device=images.device) - corners[:, 1:]  # (N, W)
    is_row = (rows >= 0) & (rows < side)
    is_column = (columns >= 0) & (columns < side)
    return torch.where((is_row.unsqueeze(2) & is_column.unsqueeze(1)).unsqueeze(3), fill, images)


def to_float(images: Tensor) -> Tensor:
    """Turn stored images (N, H, W, 3) uint8 into the network's input (N, 3, H, W) float in [0, 1], channels last."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def _reflect(positions: Tensor, *, size: int) -> Tensor:
    """Fold positions beyond either border back inside: -1 → 1, size → size - 2."""
    positions = positions.abs()
    return (size - 1) - ((size - 1) - positions).abs()

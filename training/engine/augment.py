"""Augmentation of whole batches by index arithmetic: shifts, alternating flips, cutout, resizing.

Source: Jordan 2024, arXiv 2404.00498, section 3.6 (alternating flip).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.seed import make_generator


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


def draw_shifts(count: int, *, padding: int, seed: int, epoch: int, step: int) -> Tensor:
    """Draw vertical and horizontal shifts of a batch, as (count, 2) int64 in [-padding, padding]."""
    generator = make_generator(seed=seed, purpose="crop", epoch=epoch, step=step)
    return torch.randint(-padding, padding + 1, (count, 2), generator=generator)


def shift_and_flip(images: Tensor, *, shifts: Tensor, flips: Tensor) -> Tensor:
    """Shift each image, filling borders by reflection, and mirror some left to right.

    Args:
        images: (N, H, W, 3) uint8.
        shifts: (N, 2) int64, rows and columns by which the window moves down and right, smaller than H and W.
        flips: (N,) bool, the images to mirror after the shift.

    Returns:
        (N, H, W, 3) uint8, new memory.
    """
    count, height, width, _ = images.shape
    device = images.device
    rows = _reflect(torch.arange(height, device=device) + shifts[:, :1], size=height)  # (N, H)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(flips.unsqueeze(1), width - 1 - columns, columns) + shifts[:, 1:]
    columns = _reflect(columns, size=width)  # (N, W)
    each = torch.arange(count, device=device).view(-1, 1, 1)
    return images[each, rows.unsqueeze(2), columns.unsqueeze(1)]


def draw_corners(count: int, *, side: int, image_size: int, seed: int, epoch: int, step: int) -> Tensor:
    """Draw the top left corners of squares that lie inside images, as (count, 2) int64."""
    generator = make_generator(seed=seed, purpose="cutout", epoch=epoch, step=step)
    return torch.randint(0, image_size - side + 1, (count, 2), generator=generator)


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


def to_float(images: Tensor, *, size: int) -> Tensor:
    """Turn stored images into the network's input, smaller if asked for.

    Args:
        images: (N, H, W, 3) uint8.
        size: Side of the result, in pixels; a smaller one is averaged down with antialiasing.

    Returns:
        (N, 3, size, size) float32 in [0, 1], channels last in memory.
    """
    result = images.permute(0, 3, 1, 2).float().div_(255)
    if size != images.shape[1]:
        result = functional.interpolate(result, size=(size, size), mode="bilinear", antialias=True)
    return result


def _reflect(positions: Tensor, *, size: int) -> Tensor:
    """Fold positions beyond either border back inside: -1 → 1, size → size - 2."""
    positions = positions.abs()
    return (size - 1) - ((size - 1) - positions).abs()

"""RandAugment and TrivialAugment on whole batches, each image by operations of its own.

Source: Cubuk et al. 2020, arXiv 1909.13719 (RandAugment); Müller & Hutter 2021, arXiv 2103.10158 (TrivialAugmentWide).
Operations and their ranges are torchvision's, but for two things: shears keep the centre instead of a corner, and what
torchvision computes in eight bits is computed in floats. Imports torchvision, which takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from training.engine.colour import Jitter, jitter_colors
from training.engine.config import TrainConfig
from training.engine.constants import POLICY_LEVELS
from training.engine.device import send
from training.engine.seed import make_generator


@dataclass(frozen=True, slots=True)
class Ranges:
    """What full strength means.

    Attributes:
        shear: Shift of a row or column, relative to its distance from the centre.
        translate: Shift, relative to the side.
        turn: Rotation, in radians.
        enhance: Change of a factor of brightness, contrast, saturation or sharpness.
        bits: Low bits that are cleared.
    """

    shear: float
    translate: float
    turn: float
    enhance: float
    bits: int


RANDAUGMENT: Final = Ranges(shear=0.3, translate=150 / 331, turn=math.radians(30), enhance=0.9, bits=4)
TRIVIALAUGMENT: Final = Ranges(shear=0.99, translate=1.0, turn=math.radians(135), enhance=0.99, bits=6)


def draw_policy(count: int, *, config: TrainConfig, epoch: int, step: int) -> list[tuple[Tensor, Tensor]]:
    """Draw the operations of one step.

    RandAugment draws several operations of one strength for each image, TrivialAugment one of any strength.

    Args:
        count: Number of images N.
        config: Policy, its settings and the seed.
        epoch: Epoch, counted from 0.
        step: Global step, counted from 0.

    Returns:
        One pair for each round: (N,) int64, rows of `OPERATIONS`, and (N,) float strengths in [-1, 1].
    """
    generator = make_generator(seed=config.seed, purpose="policy", epoch=epoch, step=step)
    is_random = config.policy == "randaugment"
    rounds = []
    for _ in range(config.policy_operations if is_random else 1):
        operations = torch.randint(len(OPERATIONS), (count,), generator=generator)
        drawn = torch.randint(POLICY_LEVELS, (count,), generator=generator)
        levels = torch.full_like(drawn, config.policy_magnitude) if is_random else drawn
        signs = 2 * torch.randint(2, (count,), generator=generator) - 1
        rounds.append((operations, signs * levels / (POLICY_LEVELS - 1)))
    return rounds


def apply_policy(images: Tensor, *, operations: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    """Change each image by its operation.

    Args:
        images: (N, 3, S, S) float in [0, 1].
        operations: (N,) int64 on the CPU, rows of `OPERATIONS`.
        strengths: (N,) float on the CPU, in [-1, 1]; the sign matters to those that have two directions.
        ranges: What full strength means.

    Returns:
        (N, 3, S, S) float in [0, 1], new memory.
    """
    images = images.clone()
    for number, (_, operation) in enumerate(OPERATIONS):
        rows = (operations == number).nonzero().flatten()
        if len(rows):
            here = send(rows, images.device)
            images[here] = operation(images[here], send(strengths[rows], images.device), ranges)
    return images


def _warp(images: Tensor, *rows: tuple[Tensor | float, ...]) -> Tensor:
    """Take each pixel from where the 2×3 matrix of its image points, in units of half a side; outside is black."""
    matrix = images.new_zeros(len(images), 2, 3)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            matrix[:, number, column] = value
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _keep(images: Tensor, _strengths: Tensor, _ranges: Ranges) -> Tensor:
    return images


def _shear_x(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    return _warp(images, (1, ranges.shear * strengths, 0), (0, 1, 0))


def _shear_y(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    return _warp(images, (1, 0, 0), (ranges.shear * strengths, 1, 0))


def _translate_x(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    return _warp(images, (1, 0, 2 * ranges.translate * strengths), (0, 1, 0))


def _translate_y(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    return _warp(images, (1, 0, 0), (0, 1, 2 * ranges.translate * strengths))


def _rotate(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    cosine, sine = torch.cos(ranges.turn * strengths), torch.sin(ranges.turn * strengths)
    return _warp(images, (cosine, -sine, 0), (sine, cosine, 0))


def _change_colors(name: str) -> Callable[[Tensor, Tensor, Ranges], Tensor]:
    """Return the operation that scales one of a `Jitter`'s factors."""

    def change(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
        one, zero = torch.ones_like(strengths), torch.zeros_like(strengths)
        jitter = Jitter(brightness=one, contrast=one, saturation=one, hue=zero)
        return jitter_colors(images, replace(jitter, **{name: 1 + ranges.enhance * strengths}))

    return change


def _sharpen(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    blurred: Tensor = transforms.adjust_sharpness(images, 0.0)
    factors = (1 + ranges.enhance * strengths).view(-1, 1, 1, 1)
    return blurred.lerp(images, factors).clamp(0, 1)


def _posterize(images: Tensor, strengths: Tensor, ranges: Ranges) -> Tensor:
    cleared = (ranges.bits * strengths.abs()).round().to(torch.uint8).view(-1, 1, 1, 1)
    return ((255 * images).round().to(torch.uint8) >> cleared << cleared) / 255


def _solarize(images: Tensor, strengths: Tensor, _ranges: Ranges) -> Tensor:
    threshold = (1 - strengths.abs()).view(-1, 1, 1, 1)
    return torch.where(images >= threshold, 1 - images, images)


def _stretch_contrast(images: Tensor, _strengths: Tensor, _ranges: Ranges) -> Tensor:
    stretched: Tensor = transforms.autocontrast(images)
    return stretched


def _equalize(images: Tensor, _strengths: Tensor, _ranges: Ranges) -> Tensor:
    equalized: Tensor = transforms.equalize(images)
    return equalized


OPERATIONS: Final[tuple[tuple[str, Callable[[Tensor, Tensor, Ranges], Tensor]], ...]] = (
    ("identity", _keep),
    ("shear_x", _shear_x),
    ("shear_y", _shear_y),
    ("translate_x", _translate_x),
    ("translate_y", _translate_y),
    ("rotate", _rotate),
    ("brightness", _change_colors("brightness")),
    ("saturation", _change_colors("saturation")),
    ("contrast", _change_colors("contrast")),
    ("sharpness", _sharpen),
    ("posterize", _posterize),
    ("solarize", _solarize),
    ("autocontrast", _stretch_contrast),
    ("equalize", _equalize),
)

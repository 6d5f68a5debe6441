"""Colour changes of whole batches, each image by an amount of its own.

Every change is affine in the colours of a pixel, so that a chain of them costs one matrix product per image. Values
are cut to [0, 1] once, at the end of the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from training.engine.device import send
from training.engine.seed import make_generator

GREY: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""

_YIQ: Final = (GREY, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""From RGB to brightness and the two axes of the colour plane (NTSC 1953), in which a turn changes the hue alone."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """How the colours of each image change.

    Attributes:
        brightness: (N,) float, factor of all values.
        contrast: (N,) float, factor of the distance from the image's mean grey.
        saturation: (N,) float, factor of the distance from the pixel's own grey.
        hue: (N,) float, turn of the hue in whole turns.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor

    def to(self, device: torch.device) -> Jitter:
        """Return the amounts in a device's memory."""
        return Jitter(*(send(v, device) for v in (self.brightness, self.contrast, self.saturation, self.hue)))


def draw_jitter(count: int, *, strength: float, seed: int, epoch: int, step: int) -> Jitter:
    """Draw the colour changes of one step.

    Args:
        count: Number of images N.
        strength: Factors lie in [1 - strength, 1 + strength], turns in a quarter of ± strength.
        seed: The run's seed.
        epoch: Epoch, counted from 0.
        step: Global step, counted from 0.
    """
    generator = make_generator(seed=seed, purpose="jitter", epoch=epoch, step=step)
    amounts = strength * (2 * torch.rand(4, count, generator=generator) - 1)
    return Jitter(1 + amounts[0], 1 + amounts[1], 1 + amounts[2], amounts[3] / 4)


def jitter_colors(images: Tensor, jitter: Jitter) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order.

    Source: Howard 2013, arXiv 1312.5402 (brightness, contrast, saturation); hue as a turn of the YIQ colour plane.

    Args:
        images: (N, 3, H, W) float in [0, 1].
        jitter: Amounts for the N images.

    Returns:
        (N, 3, H, W) float in [0, 1], channels last.
    """
    images = images * jitter.brightness.view(-1, 1, 1, 1)
    contrast = jitter.contrast.view(-1, 1, 1)
    grey = _constants(images.device).grey
    mean_grey = torch.einsum("nchw,c->n", images, grey).view(-1, 1, 1) / images[0, 0].numel()
    matrix = _hue_matrix(jitter.hue) @ _saturation_matrix(jitter.saturation)  # (N, 3, 3); both keep every grey
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H * W, 3)
    changed = torch.baddbmm((1 - contrast) * mean_grey, pixels, contrast * matrix.mT).clamp(0, 1)
    return changed.view(len(images), *images.shape[2:], 3).permute(0, 3, 1, 2)


class _Constants(NamedTuple):
    """The fixed numbers above as tensors.

    Attributes:
        grey: (3,) float.
        to_yiq: (3, 3) float.
        to_rgb: (3, 3) float, its inverse.
        identity: (3, 3) float.
    """

    grey: Tensor
    to_yiq: Tensor
    to_rgb: Tensor
    identity: Tensor


@cache
def _constants(device: torch.device) -> _Constants:
    """Return the constants in a device's memory; sending them there anew would make each step wait for it."""
    to_yiq = torch.tensor(_YIQ)
    constants = (torch.tensor(GREY), to_yiq, torch.linalg.inv(to_yiq), torch.eye(3))
    return _Constants(*(tensor.to(device) for tensor in constants))


def _saturation_matrix(factors: Tensor) -> Tensor:
    """Return (N, 3, 3) matrices that draw colours away from their grey; `factors`: (N,)."""
    constants = _constants(factors.device)
    factors = factors.view(-1, 1, 1)
    return factors * constants.identity + (1 - factors) * constants.grey.expand(3, 3)


def _hue_matrix(turns: Tensor) -> Tensor:
    """Return (N, 3, 3) matrices that turn the colour plane; `turns`: (N,)."""
    constants = _constants(turns.device)
    cosine, sine = torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)
    zero, one = torch.zeros_like(turns), torch.ones_like(turns)
    rotation = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], dim=1).view(-1, 3, 3)
    return constants.to_rgb @ rotation @ constants.to_yiq

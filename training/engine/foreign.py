"""Images that belong to no class, made here: noise, plain colours, scrambled images, drawings.

They are drawn alike for every model, so that models can be compared. Where a model knows colours, textures or shapes
as classes, some of them belong to one, and what is measured with these says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.demo import CLASS_KEYS as SHAPES
from training.engine.demo import draw_shape
from training.engine.seed import make_generator

FOREIGN_COUNT: Final = 500
"""Images of each source: the standard error of a share is then at most 0.023."""

PATCH_SIDE: Final = 8
"""Side, in pixels, of the squares that are shuffled."""

NOISE_CELLS: Final = 8
"""Side, in cells, of the grid of random colours from which smooth noise is interpolated."""

NOISE_MEAN: Final = 128.0
NOISE_SPREAD: Final = 64.0

_SHAPE: Final = (IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)


def make_foreign_images(images: Tensor, *, class_keys: Sequence[str]) -> dict[str, Tensor]:
    """Make images of no class, of each source as many as are given.

    Args:
        images: (N, 32, 32, 3) uint8, of the classes; two sources scramble them.
        class_keys: Names of the classes; shapes that are among them are not drawn.

    Returns:
        (N, 32, 32, 3) uint8 by source.
    """
    made = {
        source: make(images, make_generator(seed=0, purpose="foreign", step=step))
        for step, (source, make) in enumerate(_SOURCES.items())
    }
    shapes = [shape for shape in SHAPES if shape not in class_keys]
    return made | ({"shapes": _draw_shapes(len(images), shapes=shapes)} if shapes else {})


def shuffle_squares(images: Tensor, *, side: int, generator: Generator) -> Tensor:
    """Cut each image into squares and put them back in random order.

    Args:
        images: (N, 32, 32, 3) uint8.
        side: Side of the squares in pixels, a divisor of 32.
        generator: Source of the orders.
    """
    count, across = len(images), IMAGE_SIZE // side
    grid = (count, across, side, across, side, IMAGE_CHANNELS)
    squares = images.reshape(grid).transpose(2, 3).reshape(count, across**2, side, side, IMAGE_CHANNELS)
    order = torch.rand(count, across**2, generator=generator).argsort(dim=1)
    shuffled = squares[torch.arange(count).unsqueeze(1), order]
    return shuffled.reshape(count, across, across, side, side, IMAGE_CHANNELS).transpose(2, 3).reshape(images.shape)


def _noise(images: Tensor, generator: Generator) -> Tensor:
    """Draw every value of every pixel alike."""
    return torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)


def _smooth_noise(images: Tensor, generator: Generator) -> Tensor:
    """Draw clouds of colours: few random ones, with smooth passages between them."""
    cells = torch.randn(len(images), IMAGE_CHANNELS, NOISE_CELLS, NOISE_CELLS, generator=generator)
    smooth = functional.interpolate(cells, size=IMAGE_SIZE, mode="bicubic", align_corners=False)
    values = NOISE_MEAN + NOISE_SPREAD * smooth / smooth.std()
    return values.clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def _flat(images: Tensor, generator: Generator) -> Tensor:
    """Paint each image in one colour."""
    colours = torch.randint(0, 256, (len(images), 1, 1, IMAGE_CHANNELS), generator=generator, dtype=torch.uint8)
    return colours.expand(-1, *_SHAPE).contiguous()


def _gradient(images: Tensor, generator: Generator) -> Tensor:
    """Pass from one colour to another in a straight line of any direction."""
    start, end = (255 * torch.rand(2, len(images), 1, 1, IMAGE_CHANNELS, generator=generator)).unbind()
    angle = 2 * math.pi * torch.rand(len(images), 1, 1, 1, generator=generator)
    across = torch.linspace(-1, 1, IMAGE_SIZE)
    offset = across.view(1, 1, -1, 1) * angle.cos() + across.view(1, -1, 1, 1) * angle.sin()  # (N, 32, 32, 1)
    return (start + (end - start) * (1 + offset / math.sqrt(2)) / 2).to(torch.uint8)


def _pixel_shuffle(images: Tensor, generator: Generator) -> Tensor:
    """Keep an image's colours and nothing else."""
    return shuffle_squares(images, side=1, generator=generator)


def _patch_shuffle(images: Tensor, generator: Generator) -> Tensor:
    """Keep an image's textures and lose its form."""
    return shuffle_squares(images, side=PATCH_SIDE, generator=generator)


def _draw_shapes(count: int, *, shapes: Sequence[str]) -> Tensor:
    """Draw the demo dataset's shapes in turn."""
    drawn = [draw_shape(shapes[row % len(shapes)], generator=np.random.default_rng(row)) for row in range(count)]
    return torch.from_numpy(np.stack(drawn))


_SOURCES: Final[Mapping[str, Callable[[Tensor, Generator], Tensor]]] = {
    "noise": _noise,
    "smooth_noise": _smooth_noise,
    "flat": _flat,
    "gradient": _gradient,
    "pixel_shuffle": _pixel_shuffle,
    "patch_shuffle": _patch_shuffle,
}

"""Augmentation moves pixels exactly as announced."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from training.engine.augment import (
    alternate_flips,
    crop_and_flip,
    cut_out,
    draw_corners,
    draw_first_flips,
    to_float,
)


def random_images(count: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_crop_of_the_whole_image_changes_nothing() -> None:
    images = random_images()
    corners = torch.zeros(5, 2, dtype=torch.int64)
    flips = torch.zeros(5, dtype=torch.bool)
    assert torch.equal(crop_and_flip(images, corners=corners, side=32, flips=flips), images)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("side", [32, 24])
def test_a_crop_equals_one_of_the_reflect_padded_image(side: int, flip: bool) -> None:
    places = torch.arange(-4, 32 - side + 5)
    corners = torch.cartesian_prod(places, places)
    images = random_images(len(corners))
    result = crop_and_flip(images, corners=corners, side=side, flips=torch.full((len(corners),), flip))
    for image, (row, column), cropped in zip(images.numpy(), corners.tolist(), result.numpy(), strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
        expected = padded[4 + row : 4 + row + side, 4 + column : 4 + column + side]
        assert np.array_equal(cropped, expected[:, ::-1] if flip else expected)


def test_flips_alternate() -> None:
    first = draw_first_flips(1000, seed=3)
    epochs = [alternate_flips(first, epoch=epoch) for epoch in range(4)]
    assert torch.equal(epochs[0], first)
    assert torch.equal(epochs[0] ^ epochs[1], torch.ones(1000, dtype=torch.bool))
    assert torch.equal(epochs[2], epochs[0])
    assert torch.equal(epochs[3], epochs[1])
    assert 400 < int(first.sum()) < 600


def test_cutout_paints_exactly_one_square() -> None:
    images = random_images(3)
    corners = torch.tensor([[0, 0], [5, 20], [27, 27]])
    result = cut_out(images, corners=corners, side=5, fill=torch.tensor([1, 2, 3], dtype=torch.uint8))
    expected = images.clone()
    for image, (row, column) in zip(expected, corners.tolist(), strict=True):
        image[row : row + 5, column : column + 5] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    assert torch.equal(result, expected)


def test_corners_keep_squares_inside_and_reach_every_place() -> None:
    corners = draw_corners(5000, side=30, image_size=32, purpose="cutout", seed=0, epoch=0, step=0)
    assert {tuple(corner) for corner in corners.tolist()} == set(product(range(3), range(3)))


def test_a_margin_lets_squares_reach_beyond_every_border() -> None:
    corners = draw_corners(5000, side=31, image_size=32, margin=2, purpose="crop", seed=0, epoch=0, step=0)
    assert {tuple(corner) for corner in corners.tolist()} == set(product(range(-2, 4), range(-2, 4)))


def test_draws_belong_to_purpose_epoch_and_step() -> None:
    draw = partial(draw_corners, 1000, side=24, image_size=32, seed=0)
    corners = draw(purpose="crop", epoch=1, step=7)
    assert torch.equal(corners, draw(purpose="crop", epoch=1, step=7))
    assert not torch.equal(corners, draw(purpose="crop", epoch=1, step=8))
    assert not torch.equal(corners, draw(purpose="crop", epoch=2, step=7))
    assert not torch.equal(corners, draw(purpose="cutout", epoch=1, step=7))


def test_to_float_scales_to_one_and_moves_the_channels() -> None:
    images = random_images()
    result = to_float(images)
    assert (result.shape, result.dtype) == ((5, 3, 32, 32), torch.float32)
    assert torch.equal(result, images.permute(0, 3, 1, 2).float() / 255)

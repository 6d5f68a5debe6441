"""Augmentation moves pixels exactly as announced."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.engine.augment import (
    alternate_flips,
    cut_out,
    draw_corners,
    draw_first_flips,
    draw_shifts,
    shift_and_flip,
    to_float,
)


def random_images(count: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_no_shift_and_no_flip_change_nothing() -> None:
    images = random_images()
    still = torch.zeros(5, 2, dtype=torch.int64)
    assert torch.equal(shift_and_flip(images, shifts=still, flips=torch.zeros(5, dtype=torch.bool)), images)


@pytest.mark.parametrize("flip", [False, True])
def test_shift_equals_a_crop_of_the_reflect_padded_image(flip: bool) -> None:
    images = random_images(81)
    shifts = torch.cartesian_prod(torch.arange(-4, 5), torch.arange(-4, 5))
    result = shift_and_flip(images, shifts=shifts, flips=torch.full((81,), flip))
    for image, (down, right), moved in zip(images.numpy(), shifts.tolist(), result.numpy(), strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
        crop = padded[4 + down : 36 + down, 4 + right : 36 + right]
        assert np.array_equal(moved, crop[:, ::-1] if flip else crop)


def test_flips_alternate() -> None:
    first = draw_first_flips(1000, seed=3)
    epochs = [alternate_flips(first, epoch=epoch) for epoch in range(4)]
    assert torch.equal(epochs[0], first)
    assert torch.equal(epochs[0] ^ epochs[1], torch.ones(1000, dtype=torch.bool))
    assert torch.equal(epochs[2], epochs[0])
    assert torch.equal(epochs[3], epochs[1])
    assert 400 < int(first.sum()) < 600


def test_shifts_stay_within_the_padding_and_reach_it() -> None:
    shifts = draw_shifts(1000, padding=2, seed=0, epoch=1, step=7)
    assert sorted(set(shifts.flatten().tolist())) == [-2, -1, 0, 1, 2]
    assert torch.equal(shifts, draw_shifts(1000, padding=2, seed=0, epoch=1, step=7))
    assert not torch.equal(shifts, draw_shifts(1000, padding=2, seed=0, epoch=1, step=8))


def test_cutout_paints_exactly_one_square() -> None:
    images = random_images(3)
    corners = torch.tensor([[0, 0], [5, 20], [27, 27]])
    result = cut_out(images, corners=corners, side=5, fill=torch.tensor([1, 2, 3], dtype=torch.uint8))
    expected = images.clone()
    for image, (row, column) in zip(expected, corners.tolist(), strict=True):
        image[row : row + 5, column : column + 5] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    assert torch.equal(result, expected)


def test_corners_keep_squares_inside_and_reach_every_place() -> None:
    corners = draw_corners(5000, side=30, image_size=32, seed=0, epoch=0, step=0)
    assert {tuple(corner) for corner in corners.tolist()} == {(row, column) for row in range(3) for column in range(3)}


def test_to_float_scales_to_one_and_moves_the_channels() -> None:
    images = random_images()
    result = to_float(images, size=32)
    assert (result.shape, result.dtype) == ((5, 3, 32, 32), torch.float32)
    assert torch.equal(result, images.permute(0, 3, 1, 2).float() / 255)


def test_smaller_images_keep_a_flat_colour_and_the_mean() -> None:
    flat = torch.full((1, 32, 32, 3), 51, dtype=torch.uint8)
    assert torch.allclose(to_float(flat, size=20), torch.full((1, 3, 20, 20), 0.2))
    images = random_images()
    assert to_float(images, size=16).mean().item() == pytest.approx(to_float(images, size=32).mean().item(), abs=2e-3)

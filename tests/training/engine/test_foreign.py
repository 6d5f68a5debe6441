"""Foreign images are what their source says, and the same for every model."""

from __future__ import annotations

import pytest
import torch

from training.engine.demo import CLASS_KEYS
from training.engine.foreign import make_foreign_images, shuffle_squares

IMAGES = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SOURCES = ["noise", "smooth_noise", "flat", "gradient", "pixel_shuffle", "patch_shuffle", "shapes"]


@pytest.fixture(scope="module")
def made() -> dict[str, torch.Tensor]:
    return make_foreign_images(IMAGES, class_keys=["cat", "dog"])


def test_every_source_makes_as_many_images_as_are_given(made: dict[str, torch.Tensor]) -> None:
    assert list(made) == SOURCES
    assert {(images.shape, images.dtype) for images in made.values()} == {((6, 32, 32, 3), torch.uint8)}


def test_they_are_the_same_each_time(made: dict[str, torch.Tensor]) -> None:
    again = make_foreign_images(IMAGES, class_keys=["cat", "dog"])
    assert all(torch.equal(images, again[source]) for source, images in made.items())


def test_shapes_that_are_classes_are_not_drawn() -> None:
    some = make_foreign_images(IMAGES, class_keys=CLASS_KEYS[:9])
    alone = make_foreign_images(IMAGES, class_keys=CLASS_KEYS)
    assert (list(some), list(alone)) == (SOURCES, SOURCES[:-1])


def test_plain_images_have_one_colour_and_gradients_two_ends(made: dict[str, torch.Tensor]) -> None:
    assert all(len(image.view(-1, 3).unique(dim=0)) == 1 for image in made["flat"])
    steps = made["gradient"].int().diff(dim=1)
    assert int(steps.abs().max()) <= 12  # 255 over a diagonal, and rounding
    assert all(len(image.view(-1, 3).unique(dim=0)) > 20 for image in made["gradient"])


def test_smooth_noise_changes_less_from_pixel_to_pixel_than_noise(made: dict[str, torch.Tensor]) -> None:
    rough, smooth = (made[source].int().diff(dim=2).abs().float().mean() for source in ("noise", "smooth_noise"))
    assert smooth < rough / 2
    assert made["smooth_noise"].float().std() == pytest.approx(64, abs=8)


@pytest.mark.parametrize("side", [1, 8, 16])
def test_shuffled_squares_are_the_image_in_another_order(side: int) -> None:
    shuffled = shuffle_squares(IMAGES, side=side, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(shuffled, IMAGES)

    def squares(images: torch.Tensor) -> list[list[bytes]]:
        return [
            sorted(
                image[top : top + side, left : left + side].contiguous().numpy().tobytes()
                for top in range(0, 32, side)
                for left in range(0, 32, side)
            )
            for image in images
        ]

    assert squares(shuffled) == squares(IMAGES)

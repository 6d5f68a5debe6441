"""Drawings, pixel for pixel."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.drawings import ADDS, TAKES, draw_map, draw_pixels

WHITE = np.full((32, 32, 3), 255, dtype=np.uint8)


def read(data: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
    return np.asarray(image)


def over_white(colour: tuple[int, int, int], opacity: float) -> list[int]:
    return [round(opacity * channel + (1 - opacity) * 255) for channel in colour]


def test_what_the_model_saw_is_drawn_as_it_is() -> None:
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    assert np.array_equal(read(draw_pixels(pixels)), pixels)


def test_fields_are_coloured_by_what_they_add_or_take() -> None:
    drawn = read(draw_map(WHITE, np.array([[1.0, -0.5]]), rows=(16,), columns=(8, 24), largest=1.0))
    assert drawn.shape == (256, 256, 3)
    assert np.array_equal(drawn[0], drawn[255])
    assert drawn[0, 0].tolist() == drawn[0, 63].tolist() == over_white(ADDS, 0.78)  # constant beyond the middles
    assert drawn[0, 192].tolist() == drawn[0, 255].tolist() == over_white(TAKES, 0.39)
    # A third of the way from the left middle to the right one, 1 has become 0.5; 85.5 / 8 - 8 is 2.6875 of 16 pixels.
    assert drawn[0, 85].tolist() == over_white(ADDS, 0.78 * (1 - 1.5 * 2.6875 / 16))


def test_without_any_amount_the_picture_is_grey() -> None:
    red = np.zeros((32, 32, 3), dtype=np.uint8)
    red[..., 0] = 200
    drawn = read(draw_map(red, np.zeros((3, 3)), rows=(4.5, 12.5, 20.5), columns=(4.5, 12.5, 20.5), largest=0.0))
    assert np.unique(drawn).tolist() == [round(0.299 * 200)]

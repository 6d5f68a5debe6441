"""A synthetic dataset: ten kinds of shapes, drawn in seconds, so that training can be tried anywhere at once.

Every image follows from (seed, split, class, number) alone: a longer dataset starts with the images of a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.engine.constants import IMAGE_SIZE
from training.engine.dataset_draft import SPLITS, draft_dataset
from training.engine.progress import ProgressCallback, ignore_progress

NOTES: Final = "Synthetic shapes drawn by the program; not photographs, and no measure of a model's worth."

Point = tuple[float, float]
Outline = Sequence[Point]
"""Corners in a square from -1 to 1, y downwards."""

_OVERSAMPLING: Final = 4
_CANVAS: Final = _OVERSAMPLING * IMAGE_SIZE
_MAX_TURN: Final = math.radians(15)  # more would turn squares into diamonds
_MIN_CONTRAST: Final = 90.0  # of mean brightness, out of 255
_NOISE: Final = 8.0  # standard deviation, out of 255
_PROGRESS_EVERY: Final = 100


def _circle(radius: float, center: Point = (0.0, 0.0)) -> Outline:
    angles = np.linspace(0.0, 2 * math.pi, 48, endpoint=False)
    return [(center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)) for angle in angles]


def _star() -> Outline:
    radii = [1.0, 0.42] * 5
    return [
        (radius * math.sin(corner * math.pi / 5), -radius * math.cos(corner * math.pi / 5))
        for corner, radius in enumerate(radii)
    ]


def _bar(*, top: float, bottom: float, half_width: float = 1.0) -> Outline:
    return [(-half_width, top), (half_width, top), (half_width, bottom), (-half_width, bottom)]


# Outlines that are filled, then outlines that are cut out again.
_SHAPES: Final[dict[str, tuple[list[Outline], list[Outline]]]] = {
    "arrow": ([_bar(top=-0.25, bottom=0.25), [(0.1, -0.85), (1.0, 0.0), (0.1, 0.85)]], []),
    "circle": ([_circle(0.9)], []),
    "crescent": ([_circle(0.95)], [_circle(0.85, (0.5, 0.0))]),
    "cross": ([_bar(top=-0.28, bottom=0.28), _bar(top=-1.0, bottom=1.0, half_width=0.28)], []),
    "diamond": ([[(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)]], []),
    "ring": ([_circle(0.95)], [_circle(0.55)]),
    "square": ([_bar(top=-0.8, bottom=0.8, half_width=0.8)], []),
    "star": ([_star()], []),
    "stripes": ([_bar(top=top, bottom=top + 0.36) for top in (-0.9, -0.18, 0.54)], []),
    "triangle": ([[(0.0, -0.9), (0.95, 0.8), (-0.95, 0.8)]], []),
}
CLASS_KEYS: Final = tuple(_SHAPES)


def make_demo(
    output: Path,
    *,
    name: str = "demo",
    seed: int = 0,
    train_per_class: int = 200,
    test_per_class: int = 40,
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Any]:
    """Draw the synthetic dataset.

    Args:
        output: The final directory; it must not exist.
        name: The dataset's name.
        seed: Which drawings; 0 or more.
        train_per_class: Images.
        test_per_class: Images.
        on_progress: Told how many images are drawn.

    Returns:
        The manifest; its `synthetic` is true.

    Raises:
        DatasetError: `output` exists, or a split would be empty.
        DiskFullError: No space is left.
    """
    per_class = {"train": train_per_class, "test": test_per_class}
    total = len(CLASS_KEYS) * (train_per_class + test_per_class)
    done = 0
    with draft_dataset(output) as draft:
        for split_number, split in enumerate(SPLITS):
            for class_number, class_key in enumerate(CLASS_KEYS):
                for number in range(per_class[split]):
                    generator = np.random.default_rng([seed, split_number, class_number, number])
                    pixels = draw_shape(class_key, generator=generator)
                    draft.add(split, pixels[None], class_keys=[class_key], entry="")
                    done += 1
                    if done % _PROGRESS_EVERY == 0:
                        on_progress(done, total, f"{done:,} images drawn")
        return draft.publish(name=name, source="demo", notes=NOTES, on_progress=on_progress)


def draw_shape(class_key: str, *, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one shape in a random place, size, turn and pair of colours, with a little noise.

    Args:
        class_key: One of `CLASS_KEYS`.
        generator: Source of everything random.

    Returns:
        (32, 32, 3) uint8.
    """
    radius = _CANVAS * generator.uniform(0.26, 0.40)
    turn = generator.uniform(-_MAX_TURN, _MAX_TURN)
    center = _CANVAS / 2 + generator.uniform(-1, 1, size=2) * (_CANVAS / 2 - radius) * 0.8
    filled, cut = _SHAPES[class_key]
    canvas = Image.new("L", (_CANVAS, _CANVAS), 0)
    pen = ImageDraw.Draw(canvas)
    place = _make_placement(center=(center[0], center[1]), radius=radius, turn=turn)
    for outlines, value in ((filled, 255), (cut, 0)):
        for outline in outlines:
            pen.polygon([place(point) for point in outline], fill=value)
    mask = np.asarray(canvas.reduce(_OVERSAMPLING), dtype=np.float64)[..., None] / 255
    background, foreground = _pick_colors(generator)
    noise = generator.normal(0.0, _NOISE, size=(IMAGE_SIZE, IMAGE_SIZE, 3))
    return (background + mask * (foreground - background) + noise).round().clip(0, 255).astype(np.uint8)


def _make_placement(*, center: Point, radius: float, turn: float) -> Callable[[Point], Point]:
    cosine, sine = radius * math.cos(turn), radius * math.sin(turn)

    def place(point: Point) -> Point:
        x, y = point
        return center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine

    return place


def _pick_colors(generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two random RGB colours, each (3,), that can be told apart."""
    while True:
        background, foreground = generator.uniform(0, 255, size=(2, 3))
        if abs(background.mean() - foreground.mean()) >= _MIN_CONTRAST:
            return background, foreground

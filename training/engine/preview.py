"""A picture of every augmentation, drawn with the same code and settings as in training, on synthetic shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from training.engine.config import TrainConfig, Value
from training.engine.constants import IMAGE_SIZE
from training.engine.demo import CLASS_KEYS, draw_shape
from training.engine.exceptions import ConfigError
from training.engine.pipeline import Augmenter

PLAIN: Final[dict[str, Value]] = {"crop_padding": 0, "flip": False, "full_size_from": 0.0}
"""Changes to the recipe `fast` after which images stay as they are."""

ROWS: Final[tuple[tuple[str, dict[str, Value]], ...]] = (
    ("as stored", {}),
    ("crop, padding 4, reflected", {"crop_padding": 4}),
    ("crop, padding 4, black", {"crop_padding": 4, "crop_fill": "zero"}),
    ("flip", {"flip": True}),
    ("colour jitter 0.4", {"color_jitter": 0.4}),
    ("cutout 10", {"cutout": 10}),
    ("random erasing", {"erasing_probability": 1.0}),
    ("RandAugment, 2 of strength 9", {"policy": "randaugment"}),
    ("TrivialAugment", {"policy": "trivialaugment"}),
    ("MixUp, alpha 8", {"mixup_probability": 1.0, "mixup_alpha": 8.0}),  # a small one would show next to nothing
    ("CutMix, alpha 1", {"cutmix_probability": 1.0}),
    (
        "Albumentations",
        {
            "augmentation_backend": "albumentations",
            "flip": True,
            "flip_mode": "random",
            "crop_padding": 4,
            "color_jitter": 0.4,
            "cutout": 10,
        },
    ),
)

_ZOOM: Final = 2
_GAP: Final = 6
_LABEL_WIDTH: Final = 210
_CELL: Final = _ZOOM * IMAGE_SIZE + _GAP
_BACKGROUND: Final = "white"
_INK: Final = "black"


def draw_preview(*, seed: int = 0) -> Image.Image:
    """Draw one row for each augmentation and one column for each kind of shape.

    A backend that is not installed keeps its row, which then says so.

    Args:
        seed: Start of every random draw.
    """
    generators = (np.random.default_rng([seed, number]) for number in range(len(CLASS_KEYS)))
    shapes = [draw_shape(key, generator=rng) for key, rng in zip(CLASS_KEYS, generators, strict=True)]
    images = torch.from_numpy(np.stack(shapes))
    sheet = Image.new("RGB", (_LABEL_WIDTH + len(images) * _CELL, _GAP + len(ROWS) * _CELL), _BACKGROUND)
    for number, (label, changes) in enumerate(ROWS):
        try:
            _draw_row(sheet, augment_row(images, changes, seed=seed), label=label, top=_GAP + number * _CELL)
        except ConfigError:
            _draw_row(sheet, images[:0], label=f"{label}: not installed", top=_GAP + number * _CELL)
    return sheet


def augment_row(images: Tensor, changes: dict[str, Value], *, seed: int) -> Tensor:
    """Augment images as the first step of a run does.

    Args:
        images: (N, 32, 32, 3) uint8.
        changes: Fields that differ from `PLAIN`.
        seed: Start of every random draw.

    Returns:
        (N, 32, 32, 3) uint8.

    Raises:
        ConfigError: A field is refused, or the backend is not installed.
    """
    config = TrainConfig.from_recipe("fast", dataset="demo", **{**PLAIN, "seed": seed, **changes})
    mean = (images.double().mean(dim=(0, 1, 2)) / 255).tolist()
    return augment_images(
        images, labels=torch.arange(len(images)), config=config, mean=mean, class_count=len(images), epoch=0
    )


def augment_images(
    images: Tensor, *, labels: Tensor, config: TrainConfig, mean: Sequence[float], class_count: int, epoch: int
) -> Tensor:
    """Augment images, at their full size, as an epoch of one step does in which they are all that is learned from.

    Args:
        images: (N, 32, 32, 3) uint8.
        labels: (N,) int64.
        config: What to do.
        mean: Mean of each colour, in [0, 1].
        class_count: Number of classes.
        epoch: Epoch, counted from 0.

    Returns:
        (N, 32, 32, 3) uint8.

    Raises:
        ConfigError: The backend is not installed.
    """
    count = len(images)
    augmenter = Augmenter(config, image_count=count, mean=mean, class_count=class_count, device=images.device)
    rows = torch.arange(count)
    changed = augmenter.augment(images, rows=rows, side=images.shape[1], epoch=epoch, step=epoch)
    changed, _ = augmenter.mix(changed, labels, epoch=epoch, step=epoch)
    return (255 * changed).round().to(torch.uint8).permute(0, 2, 3, 1)


def _draw_row(sheet: Image.Image, images: Tensor, *, label: str, top: int) -> None:
    """Write a label and paste (N, 32, 32, 3) uint8 images beside it."""
    middle = top + _ZOOM * IMAGE_SIZE // 2
    ImageDraw.Draw(sheet).text((_GAP, middle), label, fill=_INK, font=ImageFont.load_default(size=14), anchor="lm")
    for column, image in enumerate(images.contiguous().numpy()):
        tile = Image.fromarray(image).resize((_ZOOM * IMAGE_SIZE,) * 2, Image.Resampling.NEAREST)
        sheet.paste(tile, (_LABEL_WIDTH + column * _CELL, top))

"""Pictures of what each recipe's augmentations make of a dataset's own images, drawn by the code that trains.

They are PNG files in the dataset's directory, outside its hashed content, as its report of checks is: a dataset that
was imported before they were drawn is the same dataset.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.engine.config import TrainConfig
from training.engine.constants import IMAGE_SIZE
from training.engine.dataset_files import PREVIEW_EPOCHS, PREVIEW_IMAGES, map_split, preview_name, read_dataset_manifest
from training.engine.package import sync
from training.engine.preview import augment_images
from training.engine.recipes import RECIPES

_GAP: Final = 2
_GAP_BELOW_STORED: Final = 8


def draw_previews(path: Path) -> None:
    """Draw a picture for each recipe: training images in a row as they are stored, and below as epochs show them.

    Args:
        path: The dataset's directory.

    Raises:
        DatasetError: It is no dataset.
        OSError: The disk refuses.
    """
    manifest = read_dataset_manifest(path)
    class_count = len(manifest["class_keys"])
    images, labels = map_split(path, split="train", class_count=class_count)
    chosen = np.linspace(0, len(images) - 1, min(PREVIEW_IMAGES, len(images))).astype(np.int64)
    stored, its_labels = torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen])
    for recipe in RECIPES:
        config = TrainConfig.from_recipe(recipe, dataset=str(path))
        rows = [
            augment_images(
                stored, labels=its_labels, config=config, mean=manifest["mean"], class_count=class_count, epoch=epoch
            )
            for epoch in range(PREVIEW_EPOCHS)
        ]
        _write(_arrange([stored.numpy(), *(row.numpy() for row in rows)]), path / preview_name(recipe))


def _arrange(rows: list[NDArray[np.uint8]]) -> Image.Image:
    """Lay rows of (N, 32, 32, 3) images below each other, on nothing."""
    cell = IMAGE_SIZE + _GAP
    size = (len(rows[0]) * cell - _GAP, len(rows) * cell - _GAP + _GAP_BELOW_STORED)
    sheet = Image.new("RGBA", size)
    for number, row in enumerate(rows):
        top = number * cell + (_GAP_BELOW_STORED if number else 0)
        for column, image in enumerate(row):
            sheet.paste(Image.fromarray(np.ascontiguousarray(image)), (column * cell, top))
    return sheet


def _write(picture: Image.Image, path: Path) -> None:
    """Write a picture in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    picture.save(draft, "PNG")
    sync(draft)
    draft.replace(path)

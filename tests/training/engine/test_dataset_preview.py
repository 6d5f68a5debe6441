"""Pictures of what recipes make of a dataset's own images: true to the code that trains, outside what is hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.training.engine.tiny_data import write_dataset
from training.engine.config import TrainConfig
from training.engine.dataset_files import PREVIEW_EPOCHS, PREVIEW_IMAGES, preview_name, read_dataset_manifest
from training.engine.dataset_preview import draw_previews
from training.engine.exceptions import DatasetError
from training.engine.preview import augment_images
from training.engine.recipes import RECIPES

TOPS = [0, *(8 + 34 * epoch for epoch in range(1, PREVIEW_EPOCHS + 1))]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset")


def read_rows(path: Path, *, count: int = PREVIEW_IMAGES) -> list[NDArray[np.uint8]]:
    """Return the (N, 32, 32, 3) images of each row, having made sure that nothing is between them."""
    with Image.open(path) as picture:
        pixels = np.array(picture)
    assert pixels.shape == (TOPS[-1] + 32, 34 * count - 2, 4)
    rows = [np.stack([pixels[top : top + 32, 34 * n : 34 * n + 32, :3] for n in range(count)]) for top in TOPS]
    assert np.count_nonzero(pixels[..., 3]) == len(TOPS) * count * 32 * 32
    return rows


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_shows_what_its_training_sees(dataset: Path, recipe: str) -> None:
    draw_previews(dataset)
    images, labels = (np.load(dataset / f"train_{part}.npy") for part in ("images", "labels"))
    chosen = [0, 10, 20, 30, 40, 50, 60, 71]  # of 72, spread over the classes
    stored, *epochs = read_rows(dataset / preview_name(recipe))
    np.testing.assert_array_equal(stored, images[chosen])
    shared: dict[str, Any] = {
        "labels": torch.from_numpy(labels[chosen]),
        "config": TrainConfig.from_recipe(recipe, dataset=str(dataset)),
        "mean": read_dataset_manifest(dataset)["mean"],
        "class_count": 3,
    }
    for epoch, row in enumerate(epochs):
        seen = augment_images(torch.from_numpy(images[chosen]), epoch=epoch, **shared)
        np.testing.assert_array_equal(row, seen)
        assert not np.array_equal(row, stored)
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_dataset_stays_what_it_is(dataset: Path) -> None:
    before = {path.name: path.read_bytes() for path in dataset.iterdir()}
    draw_previews(dataset)
    after = {path.name: path.read_bytes() for path in dataset.iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {preview_name(recipe) for recipe in RECIPES}
    draw_previews(dataset)
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == after


def test_few_images_are_shown_once_each(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "small", train_per_class=1)
    draw_previews(dataset)
    stored, *_epochs = read_rows(dataset / preview_name("fast"), count=3)
    np.testing.assert_array_equal(stored, np.load(dataset / "train_images.npy"))


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not an imported dataset"):
        draw_previews(tmp_path)

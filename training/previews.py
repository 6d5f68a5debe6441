"""What the recipes' augmentations make of a dataset's own images: pictures that the engine drew beside its arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from training.engine.dataset_files import preview_name
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES, Recipe
from training.engine.recipes.base import NEUTRAL
from training.engine_texts import show_value, translate
from training.storage import artifacts

if TYPE_CHECKING:
    from training.models import Dataset

_AUGMENTATIONS: Final = (
    "crop_padding",
    "flip",
    "cutout",
    "color_jitter",
    "erasing_probability",
    "policy",
    "mixup_probability",
    "cutmix_probability",
)


def list_previews(dataset: Dataset) -> list[Recipe] | None:
    """Return the recipes for which there is a picture: none of a dataset that was imported before they were drawn.

    None where its files are not on this machine, which is not worth fetching all of them.
    """
    folder = artifacts(dataset.location)
    if not folder.is_dir():
        return None
    return [recipe for recipe in RECIPES.values() if (folder / preview_name(recipe.name)).is_file()]


def read_preview(dataset: Dataset, recipe: str) -> bytes:
    """Return a recipe's picture, a PNG.

    Raises:
        OSError: there is none.
    """
    return (dataset.path / preview_name(recipe)).read_bytes()


def name_augmentations(recipe: Recipe) -> list[str]:
    """Say in the reader's language what a recipe does to images, and how much of it."""
    used = [name for name in _AUGMENTATIONS if recipe.defaults[name] != NEUTRAL[name]]
    return [_name(name, recipe) for name in used]


def _name(field: str, recipe: Recipe) -> str:
    spec, value = FIELDS[field], recipe.defaults[field]
    words = [translate(spec.label), "" if value is True else show_value(value), translate(spec.unit)]
    return " ".join(word for word in words if word)

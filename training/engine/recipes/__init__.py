"""The training recipes on offer, by name."""

from __future__ import annotations

from typing import Final

from training.engine.recipes.accurate import ACCURATE
from training.engine.recipes.base import Recipe
from training.engine.recipes.fast import FAST
from training.engine.recipes.imagenet_finetune import IMAGENET_FINETUNE
from training.engine.recipes.resnet18_finetune import RESNET18_FINETUNE
from training.engine.recipes.transfer_stl10 import TRANSFER_STL10

_ALL: Final = (FAST, ACCURATE, RESNET18_FINETUNE, IMAGENET_FINETUNE, TRANSFER_STL10)

RECIPES: Final[dict[str, Recipe]] = {recipe.name: recipe for recipe in _ALL}

__all__ = ["RECIPES", "Recipe"]

"""The training recipes on offer, by name."""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import Recipe
from training.engine.recipes.fast import FAST
from training.engine.recipes.transfer_stl10 import TRANSFER_STL10

RECIPES: Final[dict[str, Recipe]] = {recipe.name: recipe for recipe in (FAST, TRANSFER_STL10)}

__all__ = ["RECIPES", "Recipe"]

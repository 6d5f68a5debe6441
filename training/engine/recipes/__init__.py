"""The training recipes on offer, by name."""

from __future__ import annotations

from typing import Final

from training.engine.recipes.accurate import ACCURATE
from training.engine.recipes.base import Recipe
from training.engine.recipes.fast import FAST

RECIPES: Final[dict[str, Recipe]] = {recipe.name: recipe for recipe in (FAST, ACCURATE)}

__all__ = ["RECIPES", "Recipe"]

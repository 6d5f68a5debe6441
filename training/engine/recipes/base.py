"""What a recipe is: a named, measured set of training defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named set of defaults for `TrainConfig`, with the evidence behind it.

    Attributes:
        name: Identifier used in configurations, commands and the API.
        title: What a person picks from a list.
        summary: When to choose it, in one or two sentences.
        defaults: Value of every `TrainConfig` field but `dataset` and `recipe`.
        source: Where the method comes from.
        measured: What it reached, on which hardware and data.
    """

    name: str
    title: str
    summary: str
    defaults: Mapping[str, Scalar]
    source: str
    measured: str

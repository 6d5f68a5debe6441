"""What this project measured of its own recipes, as it ships with the site (`bench/summary.py` gathers it)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, with what it needs to be believed.

    Attributes:
        key: What was done; the page has the words.
        images: Labelled training images.
        accuracy: Test accuracy in [0, 1]; of several seeds their median, or mean for few images.
        lowest: Of the seeds.
        highest: Of the seeds.
        seconds: From the start to the tested network.
        n: Seeds.
        processor: Its name.
        threads: How many of it worked.
        precision: Arithmetic of the convolutions.
        command: What measures it again.
        recipe: Its name; empty without one.
        epochs: Passes over the images; 0 where they differ.
        near_copies: Test images that nearly copy a training image; 0 where nobody counted.
        accuracy_without_copies: Test accuracy without those.
    """

    key: str
    images: int
    accuracy: float
    lowest: float
    highest: float
    seconds: float
    n: int
    processor: str
    threads: int
    precision: str
    command: str
    recipe: str = ""
    epochs: int = 0
    near_copies: int = 0
    accuracy_without_copies: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures.

    Attributes:
        all_images: With every training image of CIFAR-10, the least accurate first.
        few_images: With few of them, the fewest first.
    """

    all_images: tuple[Measurement, ...]
    few_images: tuple[Measurement, ...]


@cache
def read_measured() -> Measured:
    """Return the figures that ship with the site."""
    groups = json.loads(_FILE.read_text(encoding="utf-8"))
    every, few = ([Measurement(**row) for row in groups[name]] for name in ("all_images", "few_images"))
    return Measured(
        all_images=tuple(sorted(every, key=lambda row: row.accuracy)),
        few_images=tuple(sorted(few, key=lambda row: (row.images, row.accuracy))),
    )

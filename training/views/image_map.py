"""The map of test images, as paths of an SVG: one for each class, whose strokes without length are its dots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.class_names import display_name
from training.models import Evaluation
from training.sights import read_map

SIDE: Final = 600
"""Side of the square in which the dots lie, in the units of the template's SVG."""

STYLES: Final = 12
"""Six colours, as round dots and as squares: classes beyond these begin anew."""


@dataclass(frozen=True, slots=True)
class ClassDots:
    """The images of one class.

    Attributes:
        name: Of the class, in the active language.
        style: From 0, which of `STYLES` it is drawn in.
        count: How many images there are.
        path: Their places; a class without images has none.
    """

    name: str
    style: int
    count: int
    path: str


def draw_map(evaluation: Evaluation | None, *, class_keys: list[str]) -> list[ClassDots]:
    """Return the classes with their dots; none where there is no map, or its files cannot be read."""
    if evaluation is None:
        return []
    try:
        found = read_map(evaluation)
    except (OSError, ValueError):
        return []
    places = (found.points * SIDE).round(1)
    return [
        ClassDots(
            name=display_name(key),
            style=label % STYLES,
            count=int((found.labels == label).sum()),
            path="".join(f"M{x:g} {SIDE - y:g}h0" for x, y in places[found.labels == label].tolist()),
        )
        for label, key in enumerate(class_keys)
        if len(places)
    ]

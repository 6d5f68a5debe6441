"""What else a manifest tells of an evaluation, arranged for a page: foreign images, mistakes, several views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from training.class_names import display_name

_NAMES: Final = {
    "energy": gettext_noop("Energy"),
    "max_logit": gettext_noop("Largest logit"),
    "nearest_class": gettext_noop("Nearest class, by its features"),
    "noise": gettext_noop("Noise"),
    "smooth_noise": gettext_noop("Clouds of colour"),
    "flat": gettext_noop("A single colour"),
    "gradient": gettext_noop("Colour gradients"),
    "pixel_shuffle": gettext_noop("Images with shuffled pixels"),
    "patch_shuffle": gettext_noop("Images with shuffled squares"),
    "shapes": gettext_noop("Drawn shapes"),
    "flip": gettext_noop("Mirrored"),
    "flip_shift": gettext_noop("Mirrored and shifted"),
}


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score tells foreign images from those of the classes: AUROC and share detected, fractions."""

    auroc: float
    detected: float


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score, over all foreign images; `test_kept` is the share of test images that it lets pass."""

    name: str
    total: Detection
    test_kept: float
    is_served: bool


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One kind of foreign images, with a cell for each score."""

    name: str
    cells: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test image that the model got wrong; `picture` is a PNG in base64, or empty: the shipped package has none."""

    index: int
    name: str
    predicted: str
    confidence: float
    picture: str


@dataclass(frozen=True, slots=True)
class ViewsRow:
    """What the mean answer to several views of an image gains, in points, and how many times as long it takes."""

    name: str
    views: int
    accuracy: float
    gain_points: float
    cost: float


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The parts of an evaluation; each is empty where the engine did not measure it."""

    served_score: str
    scores: tuple[ScoreRow, ...]
    sources: tuple[SourceRow, ...]
    mistakes: tuple[Mistake, ...]
    views: tuple[ViewsRow, ...]


def build_evaluation(manifest: Mapping[str, Any]) -> EvaluationReport:
    """Arrange what a manifest tells; packages of earlier versions tell less."""
    foreign = manifest["out_of_distribution"]
    comparison = foreign.get("comparison", [])
    return EvaluationReport(
        served_score=_name(foreign["score"]),
        scores=tuple(
            ScoreRow(
                name=_name(row["score"]),
                total=_detection(row),
                test_kept=row["test_kept"],
                is_served=row["score"] == foreign["score"],
            )
            for row in comparison
        ),
        sources=tuple(
            SourceRow(name=_name(cells[0]["source"]), cells=tuple(map(_detection, cells)))
            for cells in zip(*(row["sources"] for row in comparison), strict=True)
        ),
        mistakes=tuple(
            Mistake(
                index=row["index"],
                name=display_name(row["class_key"]),
                predicted=display_name(row["predicted"]),
                confidence=row["confidence"],
                picture=row.get("picture", ""),
            )
            for row in manifest.get("mistakes", ())
        ),
        views=tuple(
            ViewsRow(
                name=_name(row["name"]),
                views=row["views"],
                accuracy=row["accuracy"],
                gain_points=100 * row["gain"],
                cost=row["cost"],
            )
            for row in manifest.get("test_time_augmentation") or ()
        ),
    )


def _detection(row: Mapping[str, Any]) -> Detection:
    return Detection(auroc=row["auroc"], detected=row["detected"])


def _name(key: str) -> str:
    """Return the name of a score, a source or a set of views in the active language."""
    return _(_NAMES[key]) if key in _NAMES else key

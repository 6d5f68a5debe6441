"""How an answer, a model and the history are put before a person; no template has to calculate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from classifier.models import Prediction
from classifier.querysets import PredictionQuerySet
from training.models import ModelVersion

HISTORY_PAGE: Final = 24
_TOP: Final = 3
# Lower bounds of the confidence's words. Probabilities are calibrated, so the words mean what they say.
_VERY_SURE, _FAIRLY_SURE, LEANING = 0.95, 0.8, 0.5


@dataclass(frozen=True)
class Bar:
    """One row of the chart of probabilities: `rank` is 1 for the most probable class."""

    class_key: str
    probability: float
    rank: int


@dataclass(frozen=True)
class Answer:
    """What became of one picture: a prediction, or the sentence that says why there is none.

    `retry_after` is the number of seconds after which it may be tried again, where that is known.
    """

    file_name: str
    prediction: Prediction | None = None
    problem: str = ""
    status: int = 200
    retry_after: int | None = None

    @property
    def bars(self) -> list[Bar]:
        """Every class with its probability, the most probable first."""
        return [] if self.prediction is None else bars(self.prediction)

    @property
    def runners_up(self) -> list[Bar]:
        """The second and third of the top three."""
        return self.bars[1:_TOP]

    @property
    def certainty(self) -> str:
        """The confidence in words."""
        return "" if self.prediction is None else certainty(self.prediction.confidence)

    @property
    def class_keys(self) -> list[str]:
        """The classes that the answering model knows, in its order."""
        return [] if self.prediction is None else self.prediction.model_version.class_keys


@dataclass(frozen=True)
class ModelCard:
    """The technical details of a model version that a newcomer asks for."""

    version: ModelVersion
    name: str
    input_size: str
    parameters: int
    dataset_name: str
    dataset_notes: str
    train_count: int
    synthetic: bool


@dataclass(frozen=True)
class HistoryPage:
    """One page of predictions, newest first; `newer` and `older` are the keys of the pages around it."""

    predictions: list[Prediction]
    newer: int | None
    older: int | None


def bars(prediction: Prediction) -> list[Bar]:
    """Return every class with its probability, the most probable first."""
    pairs = zip(prediction.model_version.class_keys, prediction.probabilities, strict=True)
    ordered = sorted(pairs, key=lambda pair: pair[1], reverse=True)
    return [Bar(class_key=key, probability=value, rank=rank) for rank, (key, value) in enumerate(ordered, start=1)]


def certainty(confidence: float) -> str:
    """Say in words how sure the model is."""
    if confidence >= _VERY_SURE:
        return _("Very sure")
    if confidence >= _FAIRLY_SURE:
        return _("Fairly sure")
    if confidence >= LEANING:
        return _("Rather unsure")
    return _("Guessing")


def model_card(version: ModelVersion) -> ModelCard:
    """Collect the technical details of `version` from its manifest."""
    manifest: dict[str, Any] = version.manifest
    channels, height, width = manifest["input_size"]
    dataset = manifest["dataset"]
    return ModelCard(
        version=version,
        name=manifest["architecture"]["name"],
        input_size=f"{height} × {width} × {channels}",
        parameters=manifest["parameters"]["total"],
        dataset_name=dataset["name"],
        dataset_notes=dataset.get("notes", ""),
        train_count=dataset["train_count"],
        synthetic=dataset["synthetic"],
    )


def history_page(*, predictions: PredictionQuerySet, before: int | None, after: int | None) -> HistoryPage:
    """Cut one page out of one person's predictions by key, so that no page is slower than the first.

    Args:
        predictions: the person's, filtered.
        before: show what is older than this key.
        after: show what is newer than this key; ignored when `before` is given.
    """
    listed = predictions.for_list()
    if before is None and after is not None:
        rows = list(listed.filter(pk__gt=after).order_by("pk")[: HISTORY_PAGE + 1])
        more_newer = len(rows) > HISTORY_PAGE
        shown = rows[:HISTORY_PAGE][::-1]
        newer = shown[0].pk if more_newer else None
        older = shown[-1].pk if shown else None
        return HistoryPage(predictions=shown, newer=newer, older=older)
    rows = list((listed if before is None else listed.filter(pk__lt=before)).order_by("-pk")[: HISTORY_PAGE + 1])
    shown = rows[:HISTORY_PAGE]
    older = shown[-1].pk if len(rows) > HISTORY_PAGE else None
    newer = shown[0].pk if before is not None and shown else None
    return HistoryPage(predictions=shown, newer=newer, older=older)

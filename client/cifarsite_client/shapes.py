"""What the site answers with. Keys that a newer site adds are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedClass:
    """One of the most probable classes.

    Attributes:
        class_id: Its number.
        class_key: Its name for programs.
        class_name: Its name for people, in the client's language.
        confidence: Its calibrated probability, in [0, 1].
    """

    class_id: int
    class_key: str
    class_name: str
    confidence: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Take what is known from JSON."""
        return cls(**{name: body[name] for name in ("class_id", "class_key", "class_name", "confidence")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model says about a picture.

    Attributes:
        prediction_id: Key of the answer in the owner's history.
        class_id: Number of the most probable class.
        class_key: Its name for programs.
        class_name: Its name for people, in the client's language.
        confidence: Its calibrated probability, in [0, 1].
        probabilities: By class name; they add up to 1.
        top: The three most probable classes, best first.
        out_of_distribution: Whether the picture may show none of the classes.
        model_version: Which model answered, as `v12`.
        model_sha256: Hash of its package.
        latency_ms: Milliseconds from the file's bytes to the answer, on the site.
    """

    prediction_id: int
    class_id: int
    class_key: str
    class_name: str
    confidence: float
    probabilities: Mapping[str, float]
    top: tuple[RankedClass, ...]
    out_of_distribution: bool
    model_version: str
    model_sha256: str
    latency_ms: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Take what is known from JSON."""
        return cls(
            prediction_id=body["prediction_id"],
            class_id=body["class_id"],
            class_key=body["class_key"],
            class_name=body["class_name"],
            confidence=body["confidence"],
            probabilities=body["probabilities"],
            top=tuple(RankedClass.read(entry) for entry in body["top"]),
            out_of_distribution=body["out_of_distribution"],
            model_version=body["model_version"],
            model_sha256=body["model_sha256"],
            latency_ms=body["latency_ms"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one picture of several has no answer.

    Attributes:
        code: The kind, for programs.
        detail: One sentence, for people.
    """

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model that answers.

    Attributes:
        model_name: Its architecture.
        num_classes: How many classes it knows.
        input_size: Height x width x channels.
        total_parameters: All its numbers.
        trainable_parameters: Those that were learned.
        device: Where it runs.
    """

    model_name: str
    num_classes: int
    input_size: str
    total_parameters: int
    trainable_parameters: int
    device: str

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Take what is known from JSON."""
        return cls(**{name: body[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something long: a training run or a batch.

    Attributes:
        id: Its number.
        status: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        reason: Why it ended other than well, for programs; None where it did not.
        detail: The same in a sentence.
        done: How far it is, of `total`.
        total: 0 before it is known.
        body: Everything that the site told.
    """

    id: int
    status: str
    reason: str | None
    detail: str
    done: int
    total: int
    body: Mapping[str, Any]

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more by itself."""
        return self.status not in {"queued", "running"}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Take what is known from JSON."""
        return cls(
            id=body["id"],
            status=body["status"],
            reason=body["reason"],
            detail=body["detail"],
            done=body["progress"]["done"],
            total=body["progress"]["total"],
            body=body,
        )

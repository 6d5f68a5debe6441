"""The lines by which an engine process tells its progress: one JSON object each, on standard output.

A supervisor reads them with `parse_line`; anything else on standard output is not ours and is ignored.
Every float is finite: a value that is not becomes null.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

from training.engine.exceptions import Reason

EventName = Literal[
    "started", "step", "epoch_end", "checkpoint", "progress", "answers", "finished", "stopped", "failed"
]

EVENT_NAMES: Final[tuple[EventName, ...]] = (
    "started",
    "step",
    "epoch_end",
    "checkpoint",
    "progress",
    "answers",
    "finished",
    "stopped",
    "failed",
)


class StartedEvent(TypedDict):
    """A phase is about to take its first step; `resumed_from_step` is 0 for a fresh run.

    `phase` is 0 in a run of one phase, else 1 or 2, in this and in the next three events. `epochs` and
    `steps_per_epoch` are those of the phase, `total_steps` those of all phases; steps go on counting from one phase to
    the next.
    """

    event: Literal["started"]
    phase: int
    epochs: int
    steps_per_epoch: int
    total_steps: int
    device: str
    device_name: str
    precision: str
    total_parameters: int
    trainable_parameters: int
    resumed_from_step: int


class StepEvent(TypedDict):
    """About once a second: mean loss since the last such line; `step` and, in each phase, `epoch` count from 1."""

    event: Literal["step"]
    phase: int
    epoch: int
    step: int
    loss: float | None
    learning_rate: float
    images_per_second: float | None


class EpochEndEvent(TypedDict):
    """An epoch is over; the validation figures are null when the run keeps no validation images.

    `images` is the number of training images that its steps saw, `f1_macro` is of the validation split.
    """

    event: Literal["epoch_end"]
    phase: int
    epoch: int
    step: int
    images: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    f1_macro: float | None
    learning_rate: float
    seconds: float


class CheckpointEvent(TypedDict):
    """A checkpoint is on disk; `path` is relative to the run's working directory."""

    event: Literal["checkpoint"]
    phase: int
    epoch: int
    step: int
    path: str
    sha256: str


class ProgressEvent(TypedDict):
    """`done` of `total` units of the work that `message` names."""

    event: Literal["progress"]
    done: int
    total: int
    message: str


class AnswersEvent(TypedDict):
    """What became of some pictures of an archive, in its order.

    Each has `index` and `name`, and either `error`, the fault's name, or `class_id`, `probabilities` and
    `out_of_distribution`.
    """

    event: Literal["answers"]
    answers: list[dict[str, Any]]


class FinishedEvent(TypedDict):
    """The work is done.

    A fit names its package and metrics, an import its dataset's manifest, a check or an evaluation its report.

    `training` tells how many epochs were run, `epochs_run`, and which of them, counted from 1, had the best validation
    accuracy, `best_epoch`, null without validation images; of two phases it tells the second.
    """

    event: Literal["finished"]
    package: NotRequired[str | None]
    package_sha256: NotRequired[str | None]
    metrics: NotRequired[dict[str, Any]]
    training: NotRequired[dict[str, int | None]]
    wall_seconds: NotRequired[float]
    dataset: NotRequired[dict[str, Any]]
    report: NotRequired[dict[str, Any]]


class StoppedEvent(TypedDict):
    """Interrupted on request after `step` steps, counted over all phases.

    `checkpoint` is the one to continue from: relative to the working directory, in full when the run was resumed from
    it and saved none of its own, null when there is none.
    """

    event: Literal["stopped"]
    step: int
    checkpoint: str | None


class FailedEvent(TypedDict):
    """The work cannot be done; `detail` is one sentence that a person understands."""

    event: Literal["failed"]
    reason: Reason
    detail: str


Event = (
    StartedEvent
    | StepEvent
    | EpochEndEvent
    | CheckpointEvent
    | ProgressEvent
    | AnswersEvent
    | FinishedEvent
    | StoppedEvent
    | FailedEvent
)


def emit(event: EventName, **fields: object) -> None:
    """Write one event as one line of JSON on standard output and flush it.

    Args:
        event: What happened.
        **fields: The event's other keys; floats that are not finite are written as null.
    """
    line = json.dumps({"event": event, **cast("dict[str, object]", finite(fields))}, allow_nan=False)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse_line(line: str) -> Event | None:
    """Read one line of an engine's standard output.

    Returns:
        The event, or None when the line is not an event of ours.
    """
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("event") not in EVENT_NAMES:
        return None
    return cast("Event", message)


def finite(value: object) -> object:
    """Return a copy of a JSON-like value in which infinities and NaNs are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value

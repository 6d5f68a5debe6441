"""Where a run is: its phase, its steps and clocks, the size of its batches, and what an epoch reached."""

from __future__ import annotations

from dataclasses import dataclass

from training.engine.exceptions import ConfigError
from training.engine.ranks import Ranks


@dataclass(slots=True)
class Position:
    """Where a run is.

    Attributes:
        step: Optimizer steps taken.
        seconds: Wall time spent until the last checkpoint, over all the processes of the run.
        epoch_seconds: The part of it that belongs to the epoch under way.
    """

    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What a trainer does of its run.

    Attributes:
        number: 0 for all of it, else 1 or 2.
        steps_before: Steps that belong to the phase before.
        steps_after: Steps that belong to the phase after.
        auxiliary_sha256: Hash of the auxiliary dataset; empty without one.
    """

    number: int = 0
    steps_before: int = 0
    steps_after: int = 0
    auxiliary_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """What an epoch's weights reach on the validation split; None where nothing is set aside for it."""

    loss: float | None = None
    accuracy: float | None = None
    f1_macro: float | None = None


def divide_batch(wanted: int, *, images: int, dataset: str, ranks: Ranks) -> int:
    """Return the size of a batch: at most all images, and a multiple of the processes that train together.

    Args:
        wanted: The configured size.
        images: Number of training images.
        dataset: Name of the dataset they are of.
        ranks: The processes.

    Raises:
        ConfigError: The configured size is no such multiple, or there are fewer images than processes.
    """
    allowed = f"a multiple of {ranks.size}, the processes that train together"
    if wanted % ranks.size:
        raise ConfigError(f"batch_size is {wanted}; allowed is {allowed}.", field="batch_size", value=wanted)
    size = min(wanted, images) // ranks.size * ranks.size
    if not size:
        few = f"dataset {dataset} has {images} training images"
        message = f"devices is {ranks.size}; allowed is at most {max(images, 1)} where {few}."
        raise ConfigError(message, field="devices", value=ranks.size)
    return size

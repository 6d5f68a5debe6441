"""What can go wrong in the engine, each with the `reason` that its `failed` event carries."""

from __future__ import annotations

from typing import ClassVar, Literal

Reason = Literal["bad_config", "bad_dataset", "diverged", "out_of_memory", "disk_full", "no_network", "error"]


class EngineError(Exception):
    """An expected failure; its message is one sentence that a person understands."""

    reason: ClassVar[Reason] = "error"


class ConfigError(EngineError):
    """A configuration value that is unknown, of the wrong type or out of range.

    Args:
        message: One sentence naming the field, its value and what is allowed.
        field: Name of the refused field.
        value: The refused value.
    """

    reason: ClassVar[Reason] = "bad_config"

    def __init__(self, message: str, *, field: str, value: object) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class DatasetError(EngineError):
    """A dataset that is missing, damaged or not what its manifest says."""

    reason: ClassVar[Reason] = "bad_dataset"


class CopiesError(DatasetError):
    """Test images that are exact copies of training images, and nobody accepted that.

    Args:
        message: One sentence.
        count: How many test images.
    """

    def __init__(self, message: str, *, count: int) -> None:
        super().__init__(message)
        self.count = count


class DivergedError(EngineError):
    """The training loss became infinite or not a number."""

    reason: ClassVar[Reason] = "diverged"


class DiskFullError(EngineError):
    """No space left where a checkpoint, a package or a dataset is being written."""

    reason: ClassVar[Reason] = "disk_full"


class NetworkError(EngineError):
    """A download was asked for and no network answers."""

    reason: ClassVar[Reason] = "no_network"


class RankLostError(EngineError):
    """One of the processes that train together is gone, and the others cannot go on without it."""


class CheckpointError(EngineError):
    """A checkpoint that is missing, truncated or belongs to another configuration."""


class PackageError(EngineError):
    """A model package that is incomplete, altered or of an unknown schema."""


class ParityError(EngineError):
    """The exported graph does not answer as the trained network does."""

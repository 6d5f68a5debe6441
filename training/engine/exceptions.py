"""What can go wrong in the engine, each with the `reason` that its `failed` event carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

Reason = Literal[
    "bad_config", "bad_dataset", "bad_archive", "diverged", "out_of_memory", "disk_full", "no_network", "error"
]

LONGEST_SHOWN: Final = 80
"""Characters of a refused value that a message repeats."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a field accepts: the end of a sentence, in parts, so that it can be said in another language too.

    Attributes:
        template: English, with placeholders as in `"at most %(limit)s"`.
        parameters: What fills them; the one named `other` is the name of another field.
    """

    template: str
    parameters: Mapping[str, float | str]

    def __str__(self) -> str:
        shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in self.parameters.items()}
        return self.template % shown


def allow(template: str, **parameters: float | str) -> Allowed:
    """Say what a field accepts; see `Allowed`."""
    return Allowed(template, parameters)


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


class UnknownFieldError(ConfigError):
    """A training option that does not exist.

    Args:
        field: Its name.
        value: Its value.
        known: The names that exist.
    """

    def __init__(self, *, field: str, value: object, known: str) -> None:
        super().__init__(f"{field} is not a training option; allowed are {known}.", field=field, value=value)
        self.known = known


class RefusedValueError(ConfigError):
    """A value that a field does not accept, by itself or beside the other fields.

    Args:
        field: The field's name.
        value: The refused value; missing when None or an empty text.
        allowed: What it accepts.
    """

    def __init__(self, *, field: str, value: object, allowed: Allowed) -> None:
        shown = "missing" if value is None or value == "" else repr(value)
        if len(shown) > LONGEST_SHOWN:  # a huge value must not flood the message
            shown = shown[: LONGEST_SHOWN - 3] + "..."
        super().__init__(f"{field} is {shown}; allowed is {allowed}.", field=field, value=value)
        self.allowed = allowed


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

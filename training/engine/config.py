"""The one description of a training run: `TrainConfig`, checked field by field. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.engine.architectures import NetworkSettings, check_network
from training.engine.contradictions import refuse_contradictions
from training.engine.exceptions import Allowed, ConfigError, RefusedValueError, UnknownFieldError, allow
from training.engine.fields import FIELDS, FieldSpec, Kind
from training.engine.recipes import RECIPES

Value = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides the outcome of a run besides data and hardware; `FIELDS` describes each field.

    Raises:
        ConfigError: A value has the wrong type, is not finite, lies outside its range or contradicts another.
    """

    dataset: str
    recipe: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    validation_fraction: float
    precision: str
    devices: int
    test_time_augmentation: bool
    architecture: str
    width_multiplier: float
    depth: int
    stem: str
    input_size: int
    pretrained: str
    weights_file: str
    dropout: float
    frozen_stages: int
    optimizer: str
    bias_learning_rate: float
    head_learning_rate: float
    layer_decay: float
    momentum: float
    muon_momentum: float
    weight_decay: float
    label_smoothing: float
    whitening_bias_epochs: int
    schedule: str
    warmup_epochs: float
    step_epochs: int
    plateau_patience: int
    decay_factor: float
    peak_position: float
    gradient_clip: float
    accumulation_steps: int
    ema_decay: float
    monitor: str
    early_stopping_patience: int
    min_delta: float
    tested_weights: str
    augmentation_backend: str
    crop_padding: int
    crop_fill: str
    start_crop_size: int
    full_size_from: float
    flip: bool
    flip_mode: str
    cutout: int
    color_jitter: float
    erasing_probability: float
    policy: str
    policy_operations: int
    policy_magnitude: int
    mixup_alpha: float
    mixup_probability: float
    cutmix_alpha: float
    cutmix_probability: float
    auxiliary_dataset: str
    auxiliary_epochs: int
    auxiliary_learning_rate: float

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, check_value(field.name, getattr(self, field.name)))
        network_fields = [field.name for field in fields(NetworkSettings)]
        check_network(NetworkSettings(**{name: getattr(self, name) for name in network_fields}))
        refuse_contradictions(self)

    @classmethod
    def from_recipe(cls, name: str, *, dataset: str, **overrides: object) -> TrainConfig:
        """Take a recipe's defaults and change some of them.

        Args:
            name: A key of `RECIPES`.
            dataset: Path of a dataset directory.
            **overrides: Values by field name.

        Raises:
            ConfigError: The recipe or a field is unknown, or a value is refused.
        """
        check_value("recipe", name)
        return cls.from_dict({**RECIPES[name].defaults, **overrides, "dataset": dataset, "recipe": name})

    @classmethod
    def from_dict(cls, mapping: Mapping[str, object]) -> TrainConfig:
        """Rebuild a configuration from `to_dict`; a missing field takes its recipe's default.

        Raises:
            ConfigError: A field is unknown, `dataset` or `recipe` is missing, or a value is refused.
        """
        for name, value in mapping.items():
            if name not in FIELDS:
                raise UnknownFieldError(field=name, value=value, known=", ".join(FIELDS))
        recipe = check_value("recipe", mapping.get("recipe"))
        check_value("dataset", mapping.get("dataset"))
        complete: dict[str, object] = {**RECIPES[str(recipe)].defaults, **mapping}
        return cls(**complete)  # type: ignore[arg-type]  # each value is checked in __post_init__

    def to_dict(self) -> dict[str, Value]:
        """Return every field by name, ready for JSON."""
        return asdict(self)


def read_config(path: Path) -> TrainConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: It cannot be read, is not a JSON object, or a value is refused.
    """
    try:
        mapping = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", field="config", value=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON.", field="config", value=str(path)) from error
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path} is not a JSON object.", field="config", value=str(path))
    return TrainConfig.from_dict(mapping)


def check_value(name: str, value: object) -> Value:
    """Return `value` in the type of field `name`, or say why not.

    An int is accepted where a float is wanted; a bool never passes for a number.

    Raises:
        ConfigError: The value has the wrong type, is not finite or lies outside the field's range.
    """
    spec = FIELDS[name]
    converted = _convert(spec.type, value)
    if converted is None or not _is_allowed(spec, converted):
        raise RefusedValueError(field=name, value=value, allowed=describe_allowed(spec))
    return converted


def describe_allowed(spec: FieldSpec) -> Allowed:
    """Say what a field accepts, as the end of a sentence."""
    if spec.type == "bool":
        return allow("true or false")
    if spec.examples:
        count = len(spec.choices) - len(spec.examples)
        return allow(
            "one of %(choices)s, or one of %(count)s other names", choices=", ".join(spec.examples), count=count
        )
    if spec.choices:
        return allow("one of %(choices)s", choices=", ".join(spec.choices))
    bounds = {"minimum": _bound(spec.minimum), "maximum": _bound(spec.maximum)}
    if spec.type == "str":
        return allow("text of %(minimum)s to %(maximum)s characters", **bounds)
    if spec.type == "int":
        return allow("a whole number from %(minimum)s to %(maximum)s", **bounds)
    return allow("a number from %(minimum)s to %(maximum)s", **bounds)


def _convert(kind: Kind, value: object) -> Value | None:
    """Return the value in the wanted type, or None when it is of another one or not finite."""
    if kind == "bool" or isinstance(value, bool):
        return value if kind == "bool" and isinstance(value, bool) else None
    if kind == "str":
        return value if isinstance(value, str) else None
    if kind == "int":
        return value if isinstance(value, int) else None
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


def _is_allowed(spec: FieldSpec, value: Value) -> bool:
    """Whether a value of the right type lies within the field's choices or bounds."""
    if spec.choices:
        return value in spec.choices
    size = len(value) if isinstance(value, str) else value
    return (spec.minimum is None or size >= spec.minimum) and (spec.maximum is None or size <= spec.maximum)


def _bound(bound: float | None) -> float:
    """Return a bound, which every field without choices has; a whole one is printed in full."""
    assert bound is not None  # noqa: S101 - a test looks at every field
    return int(bound) if float(bound).is_integer() else bound

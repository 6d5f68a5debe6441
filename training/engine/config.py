"""The one description of a training run: `TrainConfig`, checked field by field. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from training.engine.architectures import NetworkSettings, check_network
from training.engine.contradictions import refuse_contradictions
from training.engine.exceptions import ConfigError
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
                allowed = ", ".join(FIELDS)
                raise ConfigError(f"{name} is not a training option; allowed are {allowed}.", field=name, value=value)
        recipe = check_value("recipe", mapping.get("recipe"))
        check_value("dataset", mapping.get("dataset"))
        complete: dict[str, object] = {**RECIPES[str(recipe)].defaults, **mapping}
        return cls(**complete)  # type: ignore[arg-type]  # each value is checked in __post_init__

    def to_dict(self) -> dict[str, Value]:
        """Return every field by name, ready for JSON."""
        return asdict(self)


def check_value(name: str, value: object) -> Value:
    """Return `value` in the type of field `name`, or say why not.

    An int is accepted where a float is wanted; a bool never passes for a number.

    Raises:
        ConfigError: The value has the wrong type, is not finite or lies outside the field's range.
    """
    spec = FIELDS[name]
    converted = _convert(spec.type, value)
    if converted is None or not _is_allowed(spec, converted):
        message = f"{name} is {_shown(value)}; allowed is {describe_allowed(spec)}."
        raise ConfigError(message, field=name, value=value)
    return converted


def describe_allowed(spec: FieldSpec) -> str:
    """Say what a field accepts, as the end of a sentence."""
    if spec.type == "bool":
        return "true or false"
    if spec.examples:
        return f"one of {', '.join(spec.examples)}, or one of {len(spec.choices) - len(spec.examples)} other names"
    if spec.choices:
        return "one of " + ", ".join(spec.choices)
    if spec.type == "str":
        return f"text of {spec.minimum:g} to {spec.maximum:g} characters"
    noun = "a whole number" if spec.type == "int" else "a number"
    return f"{noun} from {_number(spec.minimum)} to {_number(spec.maximum)}"


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


def _shown(value: object) -> str:
    """Represent a refused value without letting a huge one flood the message."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _number(bound: float | None) -> str:
    """Print a bound: whole numbers in full, others as short as they go."""
    if bound is None:
        return "any"
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"

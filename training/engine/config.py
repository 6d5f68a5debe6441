"""The one description of a training run: `TrainConfig`, checked field by field. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

from training.engine.architectures import (
    ALL_STAGES,
    FAVOURITES,
    MAXIMUM_INPUT_SIZE,
    STEMS,
    WEIGHT_SOURCES,
    NetworkSettings,
    architecture_names,
    check_network,
)
from training.engine.constants import IMAGE_SIZE
from training.engine.exceptions import ConfigError
from training.engine.recipes import RECIPES

Kind = Literal["int", "float", "str", "bool"]
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What a form, a command line or an API needs to know about one field.

    Attributes:
        label: Short name, as shown beside an input.
        help: What the value does.
        type: Type of the value.
        unit: Unit of the value, empty when it has none.
        minimum: Smallest allowed number, included; for text the smallest allowed length.
        maximum: Largest allowed number, included; for text the largest allowed length.
        choices: The allowed texts; empty when any is.
        examples: The choices that stand for all of them where these are too many to be listed.
    """

    label: str
    help: str
    type: Kind
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


FIELDS: Final[dict[str, FieldSpec]] = {
    "dataset": FieldSpec("Dataset", "Folder of an imported dataset.", "str", minimum=1, maximum=4096),
    "recipe": FieldSpec("Recipe", "Named set of defaults.", "str", choices=tuple(RECIPES)),
    "architecture": FieldSpec(
        "Architecture", "Network that is trained: whitened_cnn, or a classification network of the timm library.",
        "str", choices=architecture_names(), examples=FAVOURITES,
    ),
    "width_multiplier": FieldSpec(
        "Width", "Multiplies the channels of every block of whitened_cnn; cost grows with its square.", "float", "×",
        0.0625, 4.0,
    ),
    "stem": FieldSpec(
        "Stem", "First layers: cifar keeps small pictures in full, imagenet reduces them at once.", "str", choices=STEMS
    ),
    "input_size": FieldSpec(
        "Input size", "Side to which the network enlarges pictures before its first layer.", "int", "px",
        IMAGE_SIZE, MAXIMUM_INPUT_SIZE,
    ),
    "pretrained": FieldSpec(
        "Pretrained weights", "Where the network starts from: random weights, ImageNet weights, or a file.", "str",
        choices=WEIGHT_SOURCES,
    ),
    "weights_file": FieldSpec(
        "Weights file", "Safetensors file to start from, on the machine that trains.", "str", minimum=0, maximum=4096
    ),
    "dropout": FieldSpec(
        "Dropout", "Share of the features before the last layer that is dropped while training.", "float",
        minimum=0.0, maximum=0.9,
    ),
    "frozen_stages": FieldSpec(
        "Frozen stages", "Stages of the pretrained network, from the stem on, that do not learn; −1 for all.", "int",
        "stages", ALL_STAGES, 64,
    ),
    "epochs": FieldSpec("Epochs", "Passes over the training images.", "int", "epochs", 1, 1000),
    "batch_size": FieldSpec("Batch size", "Images in one optimizer step.", "int", "images", 2, 8192),
    "learning_rate": FieldSpec(
        "Learning rate",
        "Peak step of the convolution filters (Muon): the length of one update relative to the filter itself.",
        "float",
        minimum=1e-5,
        maximum=10.0,
    ),
    "bias_learning_rate": FieldSpec(
        "Learning rate of biases", "Peak rate of the normalisation biases, for the loss summed over a batch (SGD).",
        "float", minimum=0.0, maximum=10.0,
    ),
    "head_learning_rate": FieldSpec(
        "Learning rate of the head", "Peak rate of the last layer, for the loss summed over a batch (SGD).",
        "float", minimum=0.0, maximum=100.0,
    ),
    "momentum": FieldSpec("Momentum", "Nesterov momentum of SGD.", "float", minimum=0.0, maximum=0.999),
    "muon_momentum": FieldSpec("Muon momentum", "Nesterov momentum of Muon.", "float", minimum=0.0, maximum=0.999),
    "weight_decay": FieldSpec(
        "Weight decay", "Shrinkage of biases and head that each image of a batch adds.", "float", "per image", 0.0, 0.01
    ),
    "label_smoothing": FieldSpec(
        "Label smoothing", "Share of the target spread over all classes.", "float", minimum=0.0, maximum=0.9
    ),
    "whitening_bias_epochs": FieldSpec(
        "Whitening bias epochs", "Epochs during which the first layer's bias learns.", "int", "epochs", 0, 1000
    ),
    "crop_padding": FieldSpec(
        "Crop padding", "How far a random crop may reach beyond the image, which is continued by reflection.", "int",
        "px", 0, 8,
    ),
    "cutout": FieldSpec(
        "Cutout", "Side of a square that is painted over in each training image; 0 for none.", "int",
        "px", 0, 24,
    ),
    "flip": FieldSpec("Flip", "Mirror training images every other epoch.", "bool"),
    "start_crop_size": FieldSpec(
        "First crop size", "Side of the random crops in the first epoch; it grows to the whole image.", "int", "px",
        16, IMAGE_SIZE,
    ),
    "full_size_from": FieldSpec(
        "Full size from", "Fraction of the epochs after which crops have full size.", "float", minimum=0.0, maximum=1.0
    ),
    "validation_fraction": FieldSpec(
        "Validation share", "Share of the training split, equal per class, that only measures.", "float",
        minimum=0.0, maximum=0.5,
    ),
    "precision": FieldSpec(
        "Precision", "Arithmetic of convolutions; auto takes bfloat16 where it is faster.", "str",
        choices=("auto", "float32", "bfloat16"),
    ),
    "seed": FieldSpec("Seed", "Start of every random draw.", "int", minimum=0, maximum=2**31 - 1),
}  # fmt: skip
"""Every field of `TrainConfig`, in the order in which a form shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides the outcome of a run besides data and hardware; `FIELDS` describes each field.

    Raises:
        ConfigError: A value has the wrong type, is not finite, lies outside its range or contradicts another.
    """

    dataset: str
    recipe: str
    architecture: str
    width_multiplier: float
    stem: str
    input_size: int
    pretrained: str
    weights_file: str
    dropout: float
    frozen_stages: int
    epochs: int
    batch_size: int
    learning_rate: float
    bias_learning_rate: float
    head_learning_rate: float
    momentum: float
    muon_momentum: float
    weight_decay: float
    label_smoothing: float
    whitening_bias_epochs: int
    crop_padding: int
    cutout: int
    flip: bool
    start_crop_size: int
    full_size_from: float
    validation_fraction: float
    precision: str
    seed: int

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, check_value(field.name, getattr(self, field.name)))
        network_fields = [field.name for field in fields(NetworkSettings)]
        check_network(NetworkSettings(**{name: getattr(self, name) for name in network_fields}))

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

"""Which networks there are and what each allows, known without torch: the form, the API and the engine ask here.

The networks of the timm library stand in `architectures.tsv`, which `tools/list_architectures.py` writes. What only a
built network can tell (its stages, its stem) the engine checks when a run starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

from training.engine.constants import IMAGE_SIZE
from training.engine.exceptions import Allowed, RefusedValueError, allow

WHITENED_CNN: Final = "whitened_cnn"
"""Our own compact network; all others are timm's."""

FAVOURITES: Final = (WHITENED_CNN, "resnet18", "resnet34", "resnet50", "efficientnet_b0")
"""Named where the whole list would be too long."""

STEMS: Final = ("cifar", "imagenet")
WEIGHT_SOURCES: Final = ("none", "imagenet", "file")
MAXIMUM_INPUT_SIZE: Final = 256
ALL_STAGES: Final = -1
MINIMUM_DEPTH: Final = 2
MAXIMUM_DEPTH: Final = 4
"""Convolutions in a block of the compact network."""

TABLE_PATH: Final = Path(__file__).with_name("architectures.tsv")


@dataclass(frozen=True, slots=True)
class Architecture:
    """What one timm network allows.

    Attributes:
        name: timm's name of it.
        minimum_input_size: Smallest side that timm names for its own stem, at least 32, in pixels.
        has_weights: Whether weights of 1,000 ImageNet classes are published.
    """

    name: str
    minimum_input_size: int
    has_weights: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """The fields of `TrainConfig` that describe a network; see `FIELDS` there."""

    architecture: str
    width_multiplier: float
    depth: int
    stem: str
    input_size: int
    pretrained: str
    weights_file: str
    dropout: float
    frozen_stages: int


@cache
def timm_architectures() -> Mapping[str, Architecture]:
    """Return the timm networks by name."""
    rows = (line.split("\t") for line in TABLE_PATH.read_text(encoding="ascii").splitlines()[1:])
    listed = (Architecture(name, int(size), has_weights == "yes") for name, size, has_weights in rows)
    return MappingProxyType({architecture.name: architecture for architecture in listed})


def architecture_names() -> tuple[str, ...]:
    """Return every name that `TrainConfig.architecture` may have, the favourites first."""
    return tuple(dict.fromkeys((*FAVOURITES, *timm_architectures())))


def check_network(settings: NetworkSettings) -> None:
    """Refuse settings that contradict each other or do not suit the architecture.

    Args:
        settings: Values that are each in their own range.

    Raises:
        ConfigError: The first contradiction, in one sentence that names the field, its value and what is allowed.
    """
    if settings.architecture == WHITENED_CNN:
        _check_whitened_cnn(settings)
        return
    architecture = timm_architectures()[settings.architecture]
    _check_shape(settings, architecture)
    _check_weights(settings, architecture)
    if settings.frozen_stages and settings.pretrained == "none":
        _refuse(settings, "frozen_stages", allow("0 without pretrained weights"))


def _check_whitened_cnn(settings: NetworkSettings) -> None:
    """Refuse what the compact network does not have."""
    required: dict[str, float | str] = {
        "stem": "cifar",
        "input_size": IMAGE_SIZE,
        "pretrained": "none",
        "weights_file": "",
        "dropout": 0.0,
        "frozen_stages": 0,
    }
    for field, value in required.items():
        if getattr(settings, field) != value:
            template = "no file for %(architecture)s" if value == "" else "%(value)s for %(architecture)s"
            _refuse(settings, field, allow(template, value=value, architecture=WHITENED_CNN))


def _check_shape(settings: NetworkSettings, architecture: Architecture) -> None:
    """Refuse a width or an input size that the architecture cannot have."""
    if settings.width_multiplier != 1.0:
        template = "1 for %(architecture)s, whose width is part of its name"
        _refuse(settings, "width_multiplier", allow(template, architecture=architecture.name))
    if settings.depth != MINIMUM_DEPTH:
        template = "%(depth)s for %(architecture)s, whose depth is part of its name"
        _refuse(settings, "depth", allow(template, depth=MINIMUM_DEPTH, architecture=architecture.name))
    smallest = architecture.minimum_input_size
    if settings.input_size < smallest:
        template = "a whole number from %(minimum)s to %(maximum)s for %(architecture)s"
        bounds = {"minimum": smallest, "maximum": MAXIMUM_INPUT_SIZE}
        _refuse(settings, "input_size", allow(template, **bounds, architecture=architecture.name))


def _check_weights(settings: NetworkSettings, architecture: Architecture) -> None:
    """Refuse weights that do not exist or are not named."""
    if settings.pretrained == "imagenet" and not architecture.has_weights:
        template = "none or file for %(architecture)s, whose ImageNet weights nobody publishes"
        _refuse(settings, "pretrained", allow(template, architecture=architecture.name))
    if settings.pretrained == "file" and not settings.weights_file.endswith(".safetensors"):
        template = "the path of a .safetensors file where %(other)s is file"
        _refuse(settings, "weights_file", allow(template, other="pretrained"))
    if settings.pretrained != "file" and settings.weights_file:
        template = "no file where %(other)s is %(setting)s"
        _refuse(settings, "weights_file", allow(template, other="pretrained", setting=settings.pretrained))


def _refuse(settings: NetworkSettings, field: str, allowed: Allowed) -> NoReturn:
    """Raise the error of one field."""
    raise RefusedValueError(field=field, value=getattr(settings, field), allowed=allowed)

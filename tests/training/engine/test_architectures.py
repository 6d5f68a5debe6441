"""Settings of a network that contradict each other are refused without torch, in one sentence."""

from __future__ import annotations

import pytest

from training.engine.architectures import FAVOURITES, architecture_names, timm_architectures
from training.engine.config import TrainConfig
from training.engine.exceptions import ConfigError


def configure(**overrides: object) -> TrainConfig:
    """Return a configuration of ResNet-18, changed by `overrides`."""
    settings = {"architecture": "resnet18", "width_multiplier": 1.0, "optimizer": "adamw", **overrides}
    return TrainConfig.from_recipe("fast", dataset="d", **settings)


def test_the_table_holds_the_favourites_and_a_thousand_others() -> None:
    names = architecture_names()
    assert names[: len(FAVOURITES)] == FAVOURITES
    assert len(names) == len(set(names)) == 1368
    assert timm_architectures()["tf_efficientnet_lite0"].has_weights is True


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stem": "imagenet", "input_size": 256, "pretrained": "imagenet", "frozen_stages": -1, "dropout": 0.2},
        {"stem": "imagenet", "pretrained": "file", "weights_file": "weights.safetensors", "frozen_stages": 2},
    ],
)
def test_sound_settings_pass(settings: dict[str, object]) -> None:
    assert configure(**settings).architecture == "resnet18"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frozen_stages": 1}, "frozen_stages is 1; allowed is 0 without pretrained weights."),
        ({"frozen_stages": -1}, "frozen_stages is -1; allowed is 0 without pretrained weights."),
        (
            {"pretrained": "file"},
            "weights_file is missing; allowed is the path of a .safetensors file where pretrained is file.",
        ),
        (
            {"pretrained": "file", "weights_file": "w.pth"},
            "weights_file is 'w.pth'; allowed is the path of a .safetensors file where pretrained is file.",
        ),
        (
            {"weights_file": "w.safetensors"},
            "weights_file is 'w.safetensors'; allowed is no file where pretrained is none.",
        ),
        ({"input_size": 31}, "input_size is 31; allowed is a whole number from 32 to 256."),
        ({"input_size": 257}, "input_size is 257; allowed is a whole number from 32 to 256."),
        ({"stem": "vgg"}, "stem is 'vgg'; allowed is one of cifar, imagenet."),
        ({"pretrained": "clip"}, "pretrained is 'clip'; allowed is one of none, imagenet, file."),
        (
            {"width_multiplier": 2.0},
            "width_multiplier is 2.0; allowed is 1 for resnet18, whose width is part of its name.",
        ),
        (
            {"depth": 3},
            "depth is 3; allowed is 2 for resnet18, whose depth is part of its name.",
        ),
        (
            {"architecture": "whitened_cnn", "stem": "imagenet"},
            "stem is 'imagenet'; allowed is cifar for whitened_cnn.",
        ),
        ({"architecture": "whitened_cnn", "dropout": 0.2}, "dropout is 0.2; allowed is 0 for whitened_cnn."),
        ({"architecture": "whitened_cnn", "input_size": 64}, "input_size is 64; allowed is 32 for whitened_cnn."),
    ],
)
def test_contradictions_name_the_field(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(**settings)
    assert str(caught.value) == sentence
    assert sentence.startswith(f"{caught.value.field} ")


def test_an_input_size_below_the_smallest_of_an_architecture_is_refused() -> None:
    demanding = next(a for a in timm_architectures().values() if a.minimum_input_size == 224)
    sentence = f"input_size is 96; allowed is a whole number from 224 to 256 for {demanding.name}."
    with pytest.raises(ConfigError) as caught:
        configure(architecture=demanding.name, stem="imagenet", input_size=96)
    assert str(caught.value) == sentence


def test_imagenet_weights_that_nobody_publishes_are_refused() -> None:
    unpublished = next(a for a in timm_architectures().values() if not a.has_weights and a.minimum_input_size == 32)
    with pytest.raises(ConfigError, match=f"pretrained is 'imagenet'; allowed is none or file for {unpublished.name},"):
        configure(architecture=unpublished.name, pretrained="imagenet")

"""What a recipe is: a named, measured set of training defaults, told as its differences from neutral ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named set of defaults for `TrainConfig`, with the evidence behind it.

    Attributes:
        name: Identifier used in configurations, commands and the API.
        title: What a person picks from a list.
        summary: When to choose it, in one or two sentences.
        defaults: Value of every `TrainConfig` field but `dataset` and `recipe`; `NEUTRAL | {what differs}`.
        source: Where the method comes from.
        measured: What it reached, on which hardware and data.
    """

    name: str
    title: str
    summary: str
    defaults: Mapping[str, Scalar]
    source: str
    measured: str


NEUTRAL: Final = MappingProxyType[str, Scalar](
    {
        "epochs": 30,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "seed": 0,
        "validation_fraction": 0.1,
        "precision": "auto",
        "devices": 1,
        "test_time_augmentation": False,
        "architecture": "resnet18",
        "width_multiplier": 1.0,
        "depth": 2,
        "stem": "cifar",
        "input_size": 32,
        "pretrained": "none",
        "weights_file": "",
        "dropout": 0.0,
        "frozen_stages": 0,
        "optimizer": "adamw",
        "bias_learning_rate": 1e-3,
        "head_learning_rate": 1e-3,
        "layer_decay": 1.0,
        "momentum": 0.9,
        "muon_momentum": 0.95,
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "whitening_bias_epochs": 0,
        "schedule": "cosine",
        "warmup_epochs": 0.0,
        "step_epochs": 0,
        "plateau_patience": 0,
        "decay_factor": 0.1,
        "peak_position": 0.3,
        "gradient_clip": 0.0,
        "accumulation_steps": 1,
        "ema_decay": 0.0,
        "monitor": "validation_accuracy",
        "early_stopping_patience": 0,
        "min_delta": 0.001,
        "tested_weights": "best",
        "augmentation_backend": "tensor",
        "crop_padding": 0,
        "crop_fill": "reflect",
        "start_crop_size": 32,
        "full_size_from": 0.0,
        "flip": False,
        "flip_mode": "random",
        "cutout": 0,
        "color_jitter": 0.0,
        "erasing_probability": 0.0,
        "policy": "none",
        "policy_operations": 2,
        "policy_magnitude": 9,
        "mixup_alpha": 0.2,
        "mixup_probability": 0.0,
        "cutmix_alpha": 1.0,
        "cutmix_probability": 0.0,
        "auxiliary_dataset": "",
        "auxiliary_epochs": 0,
        "auxiliary_learning_rate": 0.0,
    }
)
"""Every field in the order of `TrainConfig`: a small network, AdamW as torch has it, everything optional switched off.

A field that sets up something optional (an α, a patience, a factor) has its method's usual value, for when a person
switches the method on.
"""

"""Recipe `transfer-stl10`: learn from STL-10's larger photographs first, then from the dataset itself.

Phases, epochs, mixing, smoothing, batch, decay and the one-cycle schedule are those of the documented predecessor. Its
peak rate of 0.01 was not kept: AdamW moves every weight by about the rate in each step, and weights that were carried
over are worth little after a few hundred steps of that length. The peaks here are 0.002 for weights that begin at
random and 0.001, the predecessor's base rate, for those carried over; both are a choice, not the outcome of a search.

Source: He et al. 2016, arXiv 1512.03385 (network); Smith & Topin 2018, arXiv 1708.07120 (one-cycle); Zhang et al. 2018,
arXiv 1710.09412 (MixUp); Yun et al. 2019, arXiv 1905.04899 (CutMix); Coates, Lee & Ng 2011 (STL-10).
"""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import Recipe

TRANSFER_STL10: Final = Recipe(
    name="transfer-stl10",
    title="Transfer from STL-10",
    summary=(
        "Learns from the auxiliary dataset first, then from your own: of use where you have few labelled images. "
        "STL-10 is to be imported before, or another auxiliary dataset chosen."
    ),
    defaults={
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "seed": 0,
        "validation_fraction": 0.1,
        "precision": "auto",
        "architecture": "resnet18",
        "width_multiplier": 1.0,
        "stem": "cifar",
        "input_size": 32,
        "pretrained": "none",
        "weights_file": "",
        "dropout": 0.2,
        "frozen_stages": 0,
        "optimizer": "adamw",
        "bias_learning_rate": 0.0,
        "head_learning_rate": 0.0,
        "momentum": 0.9,
        "muon_momentum": 0.6,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "whitening_bias_epochs": 0,
        "schedule": "one_cycle",
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
        "crop_padding": 4,
        "crop_fill": "reflect",
        "start_crop_size": 32,
        "full_size_from": 0.0,
        "flip": True,
        "flip_mode": "random",
        "cutout": 0,
        "color_jitter": 0.0,
        "erasing_probability": 0.0,
        "policy": "none",
        "policy_operations": 2,
        "policy_magnitude": 9,
        "mixup_alpha": 0.2,
        "mixup_probability": 0.5,
        "cutmix_alpha": 1.0,
        "cutmix_probability": 0.5,
        "auxiliary_dataset": "stl10",
        "auxiliary_epochs": 5,
        "auxiliary_learning_rate": 2e-3,
    },
    source="Two phases as the documented predecessor has them, with lower peaks of the rate",
    measured="Not measured with STL-10 itself; `bench.transfer` measures what a first phase is worth on CIFAR-10.",
)

"""Recipe `fast`: past the documented predecessor's 87 % within minutes on a small CPU, with a narrow network.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498; Jordan et al. 2024, "Muon:
An optimizer for hidden layers in neural networks"; growing crops after Touvron et al. 2019, arXiv 1906.06423, and
Tan & Le 2021, arXiv 2104.00298.
"""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import NEUTRAL, Recipe

FAST: Final = Recipe(
    name="fast",
    title="Fast",
    summary="A compact network of half a million parameters that learns much from a short training.",
    defaults=NEUTRAL
    | {
        "epochs": 8,
        "batch_size": 300,
        "learning_rate": 0.13,
        "architecture": "whitened_cnn",
        "width_multiplier": 0.5,
        "optimizer": "muon_sgd",
        "bias_learning_rate": 0.053,
        "head_learning_rate": 0.67,
        "momentum": 0.85,
        "muon_momentum": 0.6,
        "weight_decay": 2e-6,
        "label_smoothing": 0.2,
        "whitening_bias_epochs": 3,
        "schedule": "linear",
        # Statistics of normalisation that follow a few small batches are noisy; the average covers about twenty more.
        "ema_decay": 0.95,
        # The rate ends at zero, so the last weights are the ones that the schedule leads to; the best of a few epochs,
        # judged on 5,000 images, would mostly be the luckiest.
        "tested_weights": "last",
        "crop_padding": 2,
        "start_crop_size": 26,
        "full_size_from": 0.375,
        "flip": True,
        "flip_mode": "alternating",
    },
    source="Jordan 2024, arXiv 2404.00498 (airbench94) and Muon (Jordan et al. 2024)",
    measured=(
        "87.44 % on JPEG-compressed CIFAR-10 without test-time augmentation, median of 5 seeds on all 50,000 "
        "training images: 328 s from a cold process to the tested network, on 2 cores of an AMD EPYC (Zen 4, bfloat16)."
    ),
)

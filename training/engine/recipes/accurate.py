"""Recipe `accurate`: the best accuracy of a network whose package stays below 10 MB.

The network of recipe `fast`, wider and with residual blocks of three convolutions, trained for longer behind squares of
cutout. Source: Jordan 2024, arXiv 2404.00498, section 4 (airbench96: deeper residual blocks and cutout for
longer schedules); DeVries & Taylor 2017, arXiv 1708.04552 (cutout).
"""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import Recipe
from training.engine.recipes.fast import FAST

ACCURATE: Final = Recipe(
    name="accurate",
    title="Accurate",
    summary="A deeper compact network and a longer training: for an hour on a small CPU, or a minute on a GPU.",
    defaults={
        **FAST.defaults,
        "epochs": 24,
        "batch_size": 1000,
        "learning_rate": 0.24,
        "width_multiplier": 0.875,
        "depth": 3,
        "ema_decay": 0.0,
        "start_crop_size": 24,
        "full_size_from": 0.8,
        "cutout": 8,
    },
    source="Jordan 2024, arXiv 2404.00498 (airbench96) and DeVries & Taylor 2017, arXiv 1708.04552",
    measured=(
        "90.89 % on JPEG-compressed CIFAR-10 without test-time augmentation, one run with seed 0 and "
        "validation_fraction 0.02: 3,629 s of training on 2 shared cores of an AMD EPYC (Zen 4, bfloat16)."
    ),
)

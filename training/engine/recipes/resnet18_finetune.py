"""Recipe `resnet18-finetune`: the classic baseline, ResNet-18 from ImageNet weights, with nothing clever about it.

The ImageNet weights come with the ImageNet stem, 7×7 filters of stride 2 and a max-pool, which suits larger pictures:
of 32 px it would leave a last feature map of one pixel. So pictures are enlarged to 64 px, which leaves two by two.

Source: He et al. 2016, arXiv 1512.03385 (network, crop and flip); Loshchilov & Hutter 2019, arXiv 1711.05101 (AdamW).
"""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import NEUTRAL, Recipe

RESNET18_FINETUNE: Final = Recipe(
    name="resnet18-finetune",
    title="ResNet-18, fine-tuned",
    summary="The classic baseline: a ResNet-18 that starts from ImageNet weights and learns for up to fifty epochs.",
    defaults=NEUTRAL
    | {
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "architecture": "resnet18",
        "stem": "imagenet",
        "input_size": 64,
        "pretrained": "imagenet",
        "dropout": 0.2,
        "optimizer": "adamw",
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "early_stopping_patience": 10,
        "min_delta": 0.001,
        "crop_padding": 4,
        "crop_fill": "zero",
        "flip": True,
    },
    source="He et al. 2016, arXiv 1512.03385, with AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101)",
    measured=(
        "Its accuracy is not measured: its ImageNet weights were not at hand. One core of an AMD EPYC (Zen 4, "
        "bfloat16) learns 189 images a second (`bench.finetune`)."
    ),
)

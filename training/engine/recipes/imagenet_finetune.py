"""Recipe `imagenet-finetune`: any backbone of the timm library, from ImageNet weights, on enlarged pictures.

The head learns fast and every stage below it slower than the one above. `architecture` names the backbone; where the
weights cannot be downloaded, `pretrained=file` takes a copy of them from `weights_file`.

Source: Howard & Ruder 2018, arXiv 1801.06146 (discriminative rates); Clark et al. 2020, arXiv 2003.10555 (one factor
per layer); Kornblith et al. 2019, arXiv 1805.08974 (ImageNet weights on CIFAR-10, enlarged).
"""

from __future__ import annotations

from typing import Final

from training.engine.recipes.base import NEUTRAL, Recipe

IMAGENET_FINETUNE: Final = Recipe(
    name="imagenet-finetune",
    title="From ImageNet weights",
    summary="A backbone of the timm library from ImageNet weights: for few training images, or for the best accuracy.",
    defaults=NEUTRAL
    | {
        "epochs": 5,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "architecture": "tf_efficientnet_lite0",
        "stem": "imagenet",
        "input_size": 128,
        "pretrained": "imagenet",
        "dropout": 0.2,
        "layer_decay": 0.7,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "warmup_epochs": 0.5,
        "crop_padding": 4,
        "flip": True,
    },
    source="Howard & Ruder 2018, arXiv 1801.06146; Clark et al. 2020, arXiv 2003.10555; Kornblith et al. 2019",
    measured=(
        "3 epochs on 2,500 images of JPEG-compressed CIFAR-10 from ImageNet weights of EfficientNet-Lite0, 2,000 test "
        "images, three seeds of `bench.finetune`, one core of an AMD EPYC (Zen 4, bfloat16): 77.4 % on average (76.1 "
        "to 78.2 %) after 280 s of processor time; 73.6 % with the head alone (frozen_stages -1), after 25 s."
    ),
)

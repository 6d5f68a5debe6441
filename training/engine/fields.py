"""The fields of `TrainConfig`: what a form, a command line or an API needs to know about each. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from training.engine.architectures import (
    ALL_STAGES,
    FAVOURITES,
    MAXIMUM_DEPTH,
    MAXIMUM_INPUT_SIZE,
    MINIMUM_DEPTH,
    STEMS,
    WEIGHT_SOURCES,
    architecture_names,
)
from training.engine.constants import (
    IMAGE_SIZE,
    LEAST_LEARNING_RATE,
    MONITORS,
    OPTIMIZERS,
    POLICY_LEVELS,
    SCHEDULES,
)
from training.engine.recipes import RECIPES

Kind = Literal["int", "float", "str", "bool"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What a form, a command line or an API needs to know about one field of `TrainConfig`.

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


_RUN: Final[dict[str, FieldSpec]] = {
    "dataset": FieldSpec("Dataset", "Folder of an imported dataset.", "str", minimum=1, maximum=4096),
    "recipe": FieldSpec("Recipe", "Named set of defaults.", "str", choices=tuple(RECIPES)),
    "epochs": FieldSpec("Epochs", "Passes over the training images.", "int", "epochs", 1, 1000),
    "batch_size": FieldSpec("Batch size", "Images in one optimizer step.", "int", "images", 2, 8192),
    "learning_rate": FieldSpec(
        "Learning rate",
        "Peak rate; with Muon that of the convolution filters: the length of one update relative to the filter.",
        "float",
        minimum=LEAST_LEARNING_RATE,
        maximum=10.0,
    ),
    "seed": FieldSpec("Seed", "Start of every random draw.", "int", minimum=0, maximum=2**31 - 1),
    "validation_fraction": FieldSpec(
        "Validation share", "Share of the training split, equal per class, that only measures.", "float",
        minimum=0.0, maximum=0.5,
    ),
    "precision": FieldSpec(
        "Precision", "Arithmetic of convolutions; auto takes bfloat16 where it is faster.", "str",
        choices=("auto", "float32", "bfloat16", "float16"),
    ),
    "devices": FieldSpec(
        "Devices", "Graphics cards of one machine, or processes where it has none, that share each batch.", "int",
        minimum=1, maximum=64,
    ),
    "test_time_augmentation": FieldSpec(
        "Test-time augmentation", "Measure also what the mean answer to mirrored and shifted copies of a test image "
        "would gain and cost; answers are given without.", "bool",
    ),
}  # fmt: skip
"""What a run is, whatever learns and however."""

_NETWORK: Final[dict[str, FieldSpec]] = {
    "architecture": FieldSpec(
        "Architecture", "Network that is trained: whitened_cnn, or a classification network of the timm library.",
        "str", choices=architecture_names(), examples=FAVOURITES,
    ),
    "width_multiplier": FieldSpec(
        "Width", "Multiplies the channels of every block of whitened_cnn; cost grows with its square.", "float", "×",
        0.0625, 4.0,
    ),
    "depth": FieldSpec(
        "Depth", "Convolutions in each of the three blocks of whitened_cnn.", "int", "convolutions",
        MINIMUM_DEPTH, MAXIMUM_DEPTH,
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
}  # fmt: skip
"""What learns."""

_OPTIMIZATION: Final[dict[str, FieldSpec]] = {
    "optimizer": FieldSpec(
        "Optimizer", "Muon moves the convolution filters and leaves biases and head, with rates of their own, to the "
        "optimizer named second; the others move every weight at the learning rate.", "str", choices=OPTIMIZERS,
    ),
    "bias_learning_rate": FieldSpec(
        "Learning rate of biases", "Peak rate of the normalisation biases, for the loss summed over a batch (SGD).",
        "float", minimum=0.0, maximum=10.0,
    ),
    "head_learning_rate": FieldSpec(
        "Learning rate of the head", "Peak rate of the last layer, for the loss summed over a batch (SGD).",
        "float", minimum=0.0, maximum=100.0,
    ),
    "layer_decay": FieldSpec(
        "Layer decay", "What the learning rate is multiplied by from the head to the last stage, and on to each stage "
        "nearer the stem; 1 for one rate everywhere.", "float", "×", 0.1, 1.0,
    ),
    "momentum": FieldSpec("Momentum", "Nesterov momentum of SGD.", "float", minimum=0.0, maximum=0.999),
    "muon_momentum": FieldSpec("Muon momentum", "Nesterov momentum of Muon.", "float", minimum=0.0, maximum=0.999),
    "weight_decay": FieldSpec(
        "Weight decay", "Shrinkage of the weights; with muon_sgd of biases and head, by so much for each image of a "
        "batch.", "float", minimum=0.0, maximum=1.0,
    ),
    "label_smoothing": FieldSpec(
        "Label smoothing", "Share of the target spread over all classes.", "float", minimum=0.0, maximum=0.9
    ),
    "whitening_bias_epochs": FieldSpec(
        "Whitening bias epochs", "Epochs during which the first layer's bias learns.", "int", "epochs", 0, 1000
    ),
    "schedule": FieldSpec("Schedule", "How the learning rate falls from its peak.", "str", choices=SCHEDULES),
    "warmup_epochs": FieldSpec(
        "Warm-up", "Epochs over which the learning rate first rises in a straight line.", "float", "epochs", 0.0, 100.0
    ),
    "step_epochs": FieldSpec(
        "Epochs per step", "Epochs after which the step schedule lowers the rate; 0 with any other schedule.", "int",
        "epochs", 0, 1000,
    ),
    "plateau_patience": FieldSpec(
        "Plateau patience", "Epochs without improvement after which the plateau schedule lowers the rate; 0 with any "
        "other schedule.", "int", "epochs", 0, 1000,
    ),
    "decay_factor": FieldSpec(
        "Decay factor", "What the step and plateau schedules multiply the rate by.", "float", minimum=0.01, maximum=0.99
    ),
    "peak_position": FieldSpec(
        "Peak position", "Share of the steps after which the one-cycle schedule is at its peak.", "float",
        minimum=0.01, maximum=0.99,
    ),
    "gradient_clip": FieldSpec(
        "Gradient clipping", "Largest norm of the mean loss’s gradient; longer ones are shortened to it; 0 for none.",
        "float", minimum=0.0, maximum=1000.0,
    ),
    "accumulation_steps": FieldSpec(
        "Accumulation", "Parts in which a batch is computed one after the other, to need less memory.", "int", "parts",
        1, 1024,
    ),
    "ema_decay": FieldSpec(
        "Weight averaging", "Share of the old in a moving average of the weights, which is then what is measured and "
        "packaged; 0 for none.", "float", minimum=0.0, maximum=0.9999,
    ),
    "monitor": FieldSpec(
        "Monitored figure", "What early stopping and the plateau schedule watch.", "str", choices=MONITORS
    ),
    "early_stopping_patience": FieldSpec(
        "Early stopping", "Epochs without improvement after which training ends; 0 for never.", "int", "epochs", 0, 1000
    ),
    "min_delta": FieldSpec(
        "Least improvement", "Change of the monitored figure that counts as an improvement.", "float",
        minimum=0.0, maximum=1.0,
    ),
    "tested_weights": FieldSpec(
        "Tested weights", "Weights that are tested and packaged: of the epoch with the best validation accuracy, or of "
        "the last.", "str", choices=("best", "last"),
    ),
}  # fmt: skip
"""How it learns, and which of its weights count."""

_AUGMENTATION: Final[dict[str, FieldSpec]] = {
    "augmentation_backend": FieldSpec(
        "Augmentation backend", "Whole batches on the device, or Albumentations image by image.", "str",
        choices=("tensor", "albumentations"),
    ),
    "crop_padding": FieldSpec(
        "Crop padding", "How far a random crop may reach beyond the image, which is continued by reflection.", "int",
        "px", 0, 8,
    ),
    "crop_fill": FieldSpec(
        "Crop border", "What continues an image beyond its border.", "str", choices=("reflect", "zero")
    ),
    "start_crop_size": FieldSpec(
        "First crop size", "Side of the random crops in the first epoch; it grows to the whole image.", "int", "px",
        16, IMAGE_SIZE,
    ),
    "full_size_from": FieldSpec(
        "Full size from", "Fraction of the epochs after which crops have full size.", "float", minimum=0.0, maximum=1.0
    ),
    "flip": FieldSpec("Flip", "Mirror training images every other epoch.", "bool"),
    "flip_mode": FieldSpec(
        "Flip mode", "Each image in turn as it is and mirrored, or drawn anew each time.", "str",
        choices=("alternating", "random"),
    ),
    "cutout": FieldSpec(
        "Cutout", "Side of a square that is painted over in each training image; 0 for none.", "int",
        "px", 0, 24,
    ),
    "color_jitter": FieldSpec(
        "Colour jitter", "Largest relative change of brightness, contrast and saturation; the hue turns by up to a "
        "quarter of it; 0 for none.", "float", minimum=0.0, maximum=1.0,
    ),
    "erasing_probability": FieldSpec(
        "Random erasing", "Probability that a rectangle of an image is painted over.", "float", minimum=0.0, maximum=1.0
    ),
    "policy": FieldSpec(
        "Augmentation policy", "Random distortions and colour changes from a published list.", "str",
        choices=("none", "randaugment", "trivialaugment"),
    ),
    "policy_operations": FieldSpec(
        "RandAugment operations", "Operations that RandAugment applies to each image.", "int", "operations", 1, 5
    ),
    "policy_magnitude": FieldSpec(
        "RandAugment magnitude", "Strength of RandAugment’s operations.", "int", minimum=0, maximum=POLICY_LEVELS - 1
    ),
    "mixup_alpha": FieldSpec(
        "MixUp α", "Shape of the distribution of MixUp’s shares; small values mix little.", "float",
        minimum=0.0, maximum=10.0,
    ),
    "mixup_probability": FieldSpec(
        "MixUp", "Probability that a batch is blended with itself in another order.", "float", minimum=0.0, maximum=1.0
    ),
    "cutmix_alpha": FieldSpec(
        "CutMix α", "Shape of the distribution of CutMix’s shares; 1 makes all alike.", "float",
        minimum=0.0, maximum=10.0,
    ),
    "cutmix_probability": FieldSpec(
        "CutMix", "Probability that a rectangle of each image of a batch comes from another one.", "float",
        minimum=0.0, maximum=1.0,
    ),
}  # fmt: skip
"""What happens to training images before the network sees them."""

_TRANSFER: Final[dict[str, FieldSpec]] = {
    "auxiliary_dataset": FieldSpec(
        "Auxiliary dataset", "Another imported dataset that the network learns from first.", "str",
        minimum=0, maximum=4096,
    ),
    "auxiliary_epochs": FieldSpec(
        "Auxiliary epochs", "Passes over the auxiliary dataset’s training images; 0 without one.", "int", "epochs",
        0, 1000,
    ),
    "auxiliary_learning_rate": FieldSpec(
        "Auxiliary learning rate", "Peak rate on the auxiliary dataset, in place of the learning rate; 0 without one.",
        "float", minimum=0.0, maximum=10.0,
    ),
}  # fmt: skip
"""What is learned before, elsewhere."""

FIELD_GROUPS: Final[dict[str, dict[str, FieldSpec]]] = {
    "Run": _RUN,
    "Network": _NETWORK,
    "Optimization": _OPTIMIZATION,
    "Augmentation": _AUGMENTATION,
    "Transfer": _TRANSFER,
}
"""The fields by what they are about, in the order in which a form shows them."""

FIELDS: Final[dict[str, FieldSpec]] = {name: spec for group in FIELD_GROUPS.values() for name, spec in group.items()}
"""Every field of `TrainConfig`."""

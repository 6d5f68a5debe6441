"""Numbers and names that several engine modules must agree on. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

IMAGE_SIZE: Final = 32
"""Height and width, in pixels, of every stored and served image."""

IMAGE_CHANNELS: Final = 3

CIFAR10_CLASS_KEYS: Final = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""CIFAR-10's classes in the order of its own label numbers (Krizhevsky 2009)."""

DATASET_SCHEMA: Final = 1
PACKAGE_SCHEMA: Final = 1
CHECKPOINT_SCHEMA: Final = 3

MANIFEST_NAME: Final = "manifest.json"
ONNX_NAME: Final = "model.onnx"
WEIGHTS_NAME: Final = "weights.safetensors"
PACKAGE_FILES: Final = (ONNX_NAME, WEIGHTS_NAME)
"""Files of a model package besides its manifest; all are hashed in the manifest."""

ONNX_INPUT: Final = "images"
ONNX_LOGITS: Final = "logits"
ONNX_FEATURE_MAP: Final = "feature_map"
ONNX_OPSET: Final = 18

OPTIMIZERS: Final = ("muon_sgd", "muon_adamw", "adamw", "adam", "sgd")
LEAST_LEARNING_RATE: Final = 1e-5
SCHEDULES: Final = ("linear", "cosine", "step", "plateau", "one_cycle")
MONITORS: Final = ("validation_accuracy", "validation_loss")
POLICY_LEVELS: Final = 31
"""Strengths of an augmentation policy's operations, from none to full (Cubuk et al. 2020; Müller & Hutter 2021)."""

EXIT_FINISHED: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_STOPPED: Final = 75
EXIT_LOST: Final = 76
"""Of one process of several: another one is gone without a word, and whoever started them shall tell."""
"""A run interrupted by SIGTERM after saving a checkpoint; sysexits' EX_TEMPFAIL, "try again later"."""

GOLDEN_SAMPLE_COUNT: Final = 8
PARITY_IMAGE_COUNT: Final = 1000
KEPT_FRACTION: Final = 0.95
"""Fraction of in-distribution validation images that the out-of-distribution threshold lets pass."""

VALIDATING: Final = "validating"
"""Message of the `progress` events of a validation that takes long."""

PUBLISH_STAGES: Final = (
    "calibrating",
    "evaluating on the test split",
    "answering images of no class",
    "exporting",
    "sealing the package",
)
"""Messages of the `progress` events between the last step of a run and its end."""

SIGHT_STAGES: Final = ("looking at training images", "arranging the map")
"""Messages of the `progress` events of an evaluation after those that it shares with a run."""

ANSWERS_NAME: Final = "answers.npy"
BANK_NAME: Final = "bank.npz"
MAP_NAME: Final = "map.npz"
"""Files of an evaluation, see `training.engine.sights`."""

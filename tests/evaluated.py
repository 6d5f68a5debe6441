"""The parts of a manifest that an evaluation fills, small and made up."""

from __future__ import annotations

import base64
from typing import Any

from tests.tiny_model import build_metrics, picture
from training.engine.constants import CIFAR10_CLASS_KEYS

SOURCES = ("noise", "smooth_noise", "flat", "gradient", "pixel_shuffle", "patch_shuffle", "shapes")


def evaluated_manifest() -> dict[str, Any]:
    """Return the keys of a manifest that packages of earlier versions lack, and those that were extended."""
    return {
        "metrics": {
            **build_metrics(CIFAR10_CLASS_KEYS),
            "most_confused": [
                {"class_key": "dog", "predicted": "cat", "count": 101, "share": 0.101},
                {"class_key": "cat", "predicted": "dog", "count": 89, "share": 0.089},
            ],
            "reliability": [_bin(index) for index in range(15)],
        },
        "mistakes": [
            {
                "index": 40 + number,
                "class_key": "cat",
                "predicted": "dog",
                "confidence": 0.998,
                "loss": 6.2,
                "picture": base64.b64encode(picture(number)).decode(),
            }
            for number in range(8)
        ],
        "out_of_distribution": {
            "score": "energy",
            "threshold": 10.8,
            "kept_fraction": 0.95,
            "test_kept": 0.94,
            "comparison": [
                _score("energy", auroc=0.903, detected=0.58),
                _score("max_logit", auroc=0.893, detected=0.517),
                _score("nearest_class", auroc=0.862, detected=0.458),
            ],
        },
        "test_time_augmentation": [
            {"name": "flip", "views": 2, "accuracy": 0.909, "gain": 0.0046, "cost": 2.04},
            {"name": "flip_shift", "views": 6, "accuracy": 0.913, "gain": 0.0086, "cost": 6.1},
        ],
    }


def _bin(index: int) -> dict[str, Any]:
    if index < 2:
        return {"count": 0, "confidence": None, "accuracy": None}
    confidence = (index + 0.5) / 15
    return {"count": 6 * index, "confidence": confidence, "accuracy": confidence - 0.03 + 0.006 * (index % 10)}


def _score(name: str, *, auroc: float, detected: float) -> dict[str, Any]:
    sources = [{"source": source, "auroc": auroc, "detected": detected} for source in SOURCES]
    return {
        "score": name,
        "threshold": 1.5,
        "test_kept": 0.94,
        "auroc": auroc,
        "detected": detected,
        "sources": sources,
    }

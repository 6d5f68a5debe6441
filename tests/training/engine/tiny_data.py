"""A dataset and a configuration so small that a whole run takes about a second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.engine.config import TrainConfig
from training.engine.constants import DATASET_SCHEMA

CLASS_KEYS = ("blue", "green", "red")


def write_dataset(
    path: Path,
    *,
    train_per_class: int = 24,
    test_per_class: int = 8,
    class_keys: Sequence[str] = CLASS_KEYS,
    name: str = "colours",
    seed: int = 7,
) -> Path:
    """Write noisy pictures of the given colours in the house format and return the directory."""
    path.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    channels = 2 - np.array([CLASS_KEYS.index(key) for key in class_keys])
    splits, files = {}, {}
    for split, per_class in (("train", train_per_class), ("test", test_per_class)):
        labels = np.repeat(np.arange(len(class_keys), dtype=np.int64), per_class)
        images = generator.integers(0, 160, (len(labels), 32, 32, 3), dtype=np.uint8)
        images[np.arange(len(labels)), :, :, channels[labels]] += 60
        for part, array in (("images", images), ("labels", labels)):
            file = path / f"{split}_{part}.npy"
            np.save(file, array)
            files[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        splits[split] = {"count": len(labels), "per_class": dict.fromkeys(class_keys, per_class)}
    manifest: dict[str, Any] = {
        "schema": DATASET_SCHEMA,
        "name": name,
        "notes": "Drawn by a test.",
        "source": "demo",
        "synthetic": True,
        "image_size": 32,
        "class_keys": list(class_keys),
        "splits": splits,
        "mean": [0.39, 0.39, 0.39],
        "std": [0.2, 0.2, 0.2],
        "files": files,
        "skipped": [],
    }
    write_manifest(path, manifest)
    return path


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write a dataset's manifest with its own hash."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text = json.dumps({**content, "sha256": hashlib.sha256(canonical).hexdigest()})
    (path / "manifest.json").write_text(text, encoding="utf-8")


def tiny_config(dataset: Path, **overrides: object) -> TrainConfig:
    """Return a configuration of two epochs of four steps; `overrides` change fields."""
    small: dict[str, object] = {
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.12,
        "width_multiplier": 0.0625,
        "validation_fraction": 0.1,
        "start_crop_size": 16,
        "full_size_from": 0.8,
        "ema_decay": 0.0,
        "whitening_bias_epochs": 1,
    }
    return TrainConfig.from_recipe("fast", dataset=str(dataset), **{**small, **overrides})

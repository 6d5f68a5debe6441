"""The synthetic dataset: labelled as such, repeatable, and told apart by shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.demo import CLASS_KEYS, draw_shape, make_demo
from training.engine.exceptions import DatasetError


def test_counts_and_label(tmp_path: Path) -> None:
    manifest = make_demo(tmp_path / "demo", train_per_class=3, test_per_class=2)
    assert (manifest["name"], manifest["source"], manifest["synthetic"]) == ("demo", "demo", True)
    assert manifest["notes"].startswith("Synthetic shapes")
    assert manifest["class_keys"] == list(CLASS_KEYS)
    assert len(CLASS_KEYS) == 10
    assert not set(CLASS_KEYS) & set(CIFAR10_CLASS_KEYS)
    assert manifest["splits"]["train"] == {"count": 30, "per_class": dict.fromkeys(CLASS_KEYS, 3)}
    assert manifest["splits"]["test"] == {"count": 20, "per_class": dict.fromkeys(CLASS_KEYS, 2)}
    assert json.loads((tmp_path / "demo/manifest.json").read_text()) == manifest


def test_seed_decides_everything(tmp_path: Path) -> None:
    first, again, other = (
        make_demo(tmp_path / str(number), seed=seed, train_per_class=2, test_per_class=1)
        for number, seed in enumerate((7, 7, 8))
    )
    assert first == again
    assert first["files"]["train_images.npy"] != other["files"]["train_images.npy"]
    assert first["files"]["train_labels.npy"] == other["files"]["train_labels.npy"]


def test_longer_dataset_starts_with_the_shorter_one(tmp_path: Path) -> None:
    make_demo(tmp_path / "short", train_per_class=2, test_per_class=1)
    make_demo(tmp_path / "long", train_per_class=5, test_per_class=1)
    short, long = (np.load(tmp_path / name / "train_images.npy") for name in ("short", "long"))
    np.testing.assert_array_equal(short.reshape(10, 2, -1), long.reshape(10, 5, -1)[:, :2])


def test_no_image_is_in_both_splits(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", train_per_class=20, test_per_class=20)
    train, test = (np.load(tmp_path / "demo" / f"{split}_images.npy").reshape(200, -1) for split in ("train", "test"))
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}


def test_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    make_demo(tmp_path / "demo", train_per_class=15, test_per_class=5, on_progress=lambda *told: seen.append(told))
    assert seen[:2] == [(100, 200, "100 images drawn"), (200, 200, "200 images drawn")]
    assert seen[2:] == [(150, 200, "Checking the images"), (200, 200, "Checking the images")]


def test_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="The source has no test images"):
        make_demo(tmp_path / "demo", train_per_class=1, test_per_class=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("class_key", CLASS_KEYS)
def test_every_shape_stands_out_from_its_background(class_key: str) -> None:
    for seed in range(20):
        pixels = draw_shape(class_key, generator=np.random.default_rng(seed))
        assert pixels.shape == (32, 32, 3)
        assert pixels.dtype == np.uint8
        brightness = pixels.mean(axis=2)
        middle = (brightness.max() + brightness.min()) / 2
        share = float((np.abs(brightness - np.median(brightness)) > np.abs(middle - np.median(brightness))).mean())
        assert 0.02 < share < 0.6

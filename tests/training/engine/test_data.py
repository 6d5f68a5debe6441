"""Datasets are opened only when they are what their manifest says; the split is stratified and seeded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.engine.tiny_data import CLASS_KEYS, write_dataset, write_manifest
from training.engine.data import Split, load_dataset, split_validation
from training.engine.exceptions import DatasetError
from training.engine.package import hash_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def replace_array(path: Path, name: str, array: np.ndarray) -> None:
    """Replace an array and its hash, so that only its content can be refused."""
    np.save(path / name, array)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = hash_file(path / name)
    write_manifest(path, manifest)


def test_dataset_reads_back(path: Path) -> None:
    dataset = load_dataset(path)
    assert (dataset.name, dataset.class_keys, len(dataset.train), len(dataset.test)) == (
        "colours",
        list(CLASS_KEYS),
        72,
        24,
    )
    assert (dataset.train.images.shape, dataset.train.images.dtype) == ((72, 32, 32, 3), torch.uint8)
    assert torch.bincount(dataset.train.labels).tolist() == [24, 24, 24]


def test_reading_never_changes_the_files(path: Path) -> None:
    before = hash_file(path / "train_images.npy")
    load_dataset(path).train.images.zero_()
    assert hash_file(path / "train_images.npy") == before


def test_altered_array_is_refused(path: Path) -> None:
    content = bytearray((path / "test_images.npy").read_bytes())
    content[-1] ^= 1
    (path / "test_images.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"test_images\.npy is missing or was altered since the import\.$"):
        load_dataset(path)


def test_missing_array_is_refused(path: Path) -> None:
    (path / "train_labels.npy").unlink()
    with pytest.raises(DatasetError, match=r"train_labels\.npy is missing or was altered"):
        load_dataset(path)


def test_folder_without_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not an imported dataset"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "is not JSON"), ("[]", "does not follow schema 1"), ('{"schema": 2}', "does not follow schema 1")],
)
def test_bad_manifest_is_refused(path: Path, text: str, says: str) -> None:
    (path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=says):
        load_dataset(path)


@pytest.mark.parametrize("key", ["name", "sha256", "class_keys", "mean", "std", "files"])
def test_manifest_without_a_key_is_refused(path: Path, key: str) -> None:
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    del manifest[key]
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DatasetError, match=f"lacks {key}"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("train_labels.npy", np.full(72, 3, dtype=np.int64), "has a label outside its 3 classes"),
        ("train_labels.npy", np.zeros(72, dtype=np.int64), "a class without training images"),
        ("train_labels.npy", np.zeros(72, dtype=np.int32), "is not 32×32 uint8 images with int64 labels"),
        ("test_images.npy", np.zeros((24, 32, 32, 3), dtype=np.float32), "is not 32×32 uint8 images"),
        ("test_images.npy", np.zeros((24, 16, 16, 3), dtype=np.uint8), "is not 32×32 uint8 images"),
    ],
)
def test_array_that_contradicts_the_format_is_refused(path: Path, name: str, array: object, says: str) -> None:
    assert isinstance(array, np.ndarray)
    replace_array(path, name, array)
    with pytest.raises(DatasetError, match=says):
        load_dataset(path)


def test_pickled_array_is_never_loaded(path: Path) -> None:
    replace_array(path, "test_labels.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match=r"test_labels\.npy is not a readable array"):
        load_dataset(path)


def test_split_takes_the_same_share_of_every_class() -> None:
    labels = torch.arange(4).repeat_interleave(torch.tensor([100, 50, 10, 1]))
    training, validation = split_validation(labels, class_count=4, fraction=0.1, seed=0)
    assert torch.bincount(labels[validation], minlength=4).tolist() == [10, 5, 1, 0]
    assert torch.equal(torch.cat([training, validation]).sort().values, torch.arange(161))


def test_split_depends_on_the_seed_alone() -> None:
    labels = torch.arange(3).repeat(50)
    validations = [split_validation(labels, class_count=3, fraction=0.2, seed=seed)[1] for seed in (0, 0, 1)]
    assert torch.equal(validations[0], validations[1])
    assert not torch.equal(validations[0], validations[2])


def test_no_fraction_sets_nothing_aside() -> None:
    training, validation = split_validation(torch.arange(3).repeat(5), class_count=3, fraction=0.0, seed=0)
    assert (len(training), len(validation)) == (15, 0)


@pytest.mark.parametrize(("count", "rows"), [(1, [0]), (3, [0, 12, 24]), (25, [*range(25)]), (99, [*range(25)])])
def test_rows_are_spread_over_a_split(count: int, rows: list[int]) -> None:
    split = Split(images=torch.zeros(25, 32, 32, 3, dtype=torch.uint8), labels=torch.arange(25))
    assert split.spread(count).labels.tolist() == rows

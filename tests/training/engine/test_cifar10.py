"""CIFAR-10's binary batches keep their order and pixels; its download fails with a sentence that helps."""

from __future__ import annotations

import shutil
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray

from training.engine.cifar10 import download_cifar10
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.datasets import import_dataset
from training.engine.exceptions import DatasetError, NetworkError


def binary_batch(rows: int, *, seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    records = generator.integers(0, 256, size=(rows, 3073), dtype=np.uint8)
    records[:, 0] = (np.arange(rows) + seed) % 10
    return records.tobytes()


def write_batches(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in (2, 1):
        (folder / f"data_batch_{number}.bin").write_bytes(binary_batch(20 + number, seed=number))
    (folder / "test_batch.bin").write_bytes(binary_batch(10, seed=0))
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_CLASS_KEYS) + "\n\n")
    (folder / "readme.html").write_text("<html>")
    return folder


def planes(batch: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    """Read a binary batch the slow way."""
    images, labels = [], []
    for start in range(0, len(batch), 3073):
        labels.append(batch[start])
        red, green, blue = (
            np.frombuffer(batch[start + 1 + 1024 * plane : start + 1025 + 1024 * plane], dtype=np.uint8).reshape(32, 32)
            for plane in range(3)
        )
        images.append(np.dstack([red, green, blue]))
    return np.array(images), labels


@pytest.mark.parametrize("kind", ["folder", "gztar"])
def test_binary_batches_keep_their_order(tmp_path: Path, kind: str) -> None:
    source = write_batches(tmp_path / "source" / "cifar-10-batches-bin")
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "a"), kind, tmp_path / "source"))
    manifest = import_dataset(source, tmp_path / "output", name="cifar10")
    assert manifest["source"] == "cifar10-binary"
    assert manifest["class_keys"] == list(CIFAR10_CLASS_KEYS)
    first, second, test = (planes(binary_batch(rows, seed=seed)) for rows, seed in ((21, 1), (22, 2), (10, 0)))
    expected = np.concatenate([first[0], second[0]])
    np.testing.assert_array_equal(np.load(tmp_path / "output/train_images.npy"), expected)
    assert np.load(tmp_path / "output/train_labels.npy").tolist() == first[1] + second[1]
    np.testing.assert_array_equal(np.load(tmp_path / "output/test_images.npy"), test[0])
    assert np.load(tmp_path / "output/test_labels.npy").tolist() == test[1]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("data_batch_2.bin", bytes(3072), "Entry 'data_batch_2.bin' is not a whole number of 3073-byte"),
        ("data_batch_2.bin", b"", "Entry 'data_batch_2.bin' is not a whole number of 3073-byte"),
        (
            "test_batch.bin",
            bytes(3073) + b"\x0a" + bytes(3072),
            "Entry 'test_batch.bin' has an unknown class, 10, in rec",
        ),
        ("data_batch_4.bin", bytes(3073), "Training batch 'data_batch_3.bin' is missing."),
        ("batches.meta.txt", b"apple\nbear\n", "Entry 'batches.meta.txt' names classes that are not CIFAR-10's."),
        ("test_batch.bin", bytes(3073), "Class 'automobile' has no images in the test split."),
        ("test_batch.bin", None, "The source has no test images."),
    ],
    ids=["size", "empty", "label", "gap", "classes", "one-class", "no-test"],
)
def test_bad_batches(tmp_path: Path, output: Path, name: str, data: bytes | None, sentence: str) -> None:
    source = write_batches(tmp_path / "source")
    if data is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        import_dataset(source, output, name="bad")
    assert str(caught.value).startswith(sentence)
    assert not output.parent.parent.exists()


class FakeCifar10:
    """Stands in for torchvision's class: two rows of every class."""

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        assert download
        self.targets = [*range(10), *range(10)] if train else list(range(9, -1, -1))
        self.data = np.arange(len(self.targets), dtype=np.uint8)[:, None, None, None] * np.ones((32, 32, 3), np.uint8)


def test_torchvision_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCifar10)
    manifest = download_cifar10(tmp_path / "output", download_root=tmp_path)
    assert manifest["source"] == "torchvision-cifar10"
    assert manifest["splits"]["train"]["per_class"] == dict.fromkeys(CIFAR10_CLASS_KEYS, 2)
    assert np.load(tmp_path / "output/train_labels.npy").tolist() == [*range(10), *range(10)]
    assert np.load(tmp_path / "output/train_images.npy")[:, 0, 0, 0].tolist() == list(range(20))
    assert np.load(tmp_path / "output/test_labels.npy").tolist() == list(range(9, -1, -1))


@pytest.mark.parametrize(
    "error", [URLError("unreachable"), TimeoutError(), ConnectionResetError(), IncompleteRead(b"")]
)
def test_download_without_network(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def find_no_network(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", find_no_network)
    with pytest.raises(NetworkError, match="Import an archive or a folder of images instead, or use the synthetic"):
        download_cifar10(output, download_root=tmp_path / "downloads")
    assert not output.parent.parent.exists()


def test_download_with_a_wrong_checksum(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve_something_else(_url: str, path: str) -> None:
        Path(path).write_bytes(b"not CIFAR-10")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", serve_something_else)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_options: url)
    with pytest.raises(DatasetError, match="does not have the expected checksum"):
        download_cifar10(output, download_root=tmp_path / "downloads")
    assert not output.parent.parent.exists()

"""STL-10's genuine layout: column-major planes, labels from 1, classes by CIFAR-10's names, monkeys left out."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.engine.archive_rules import ArchiveLimits
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.datasets import import_dataset
from training.engine.exceptions import DatasetError, NetworkError
from training.engine.stl10 import CLASS_NAMES, download_stl10

KEYS = [key for key in CIFAR10_CLASS_KEYS if key != "frog"]
CIFAR_OF_STL = {1: 0, 2: 2, 3: 1, 4: 3, 5: 4, 6: 5, 7: 7, 9: 8, 10: 9}
"""The published mapping: STL-10's label, from 1, to CIFAR-10's, from 0; 8 is the monkey."""

LABELS = {"train": [*range(1, 11), *range(10, 0, -1)], "test": [8, *range(1, 11)]}


def draw_images(split: str) -> NDArray[np.uint8]:
    """Return smooth pictures, (N, 96, 96, 3), which tell rows from columns."""
    generator = np.random.default_rng(len(split))
    count = len(LABELS[split])
    corners = generator.integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)  # coarse, so that shrinking keeps them
    large = [Image.fromarray(corner).resize((96, 96), Image.Resampling.BICUBIC) for corner in corners]
    return np.stack([np.asarray(image) for image in large])


def write_stl10(folder: Path) -> Path:
    """Write the files byte by byte as the authors describe them: plane by plane, column by column."""
    folder.mkdir(parents=True)
    for split, labels in LABELS.items():
        with (folder / f"{split}_X.bin").open("wb") as file:
            for image in draw_images(split):
                for colour in range(3):
                    for column in range(96):
                        file.write(image[:, column, colour].tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(labels))
    (folder / "class_names.txt").write_text("\n".join(CLASS_NAMES) + "\n")
    (folder / "fold_indices.txt").write_text("0 1 2\n")
    (folder / "unlabeled_X.bin").write_bytes(bytes(27_648))
    return folder


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stl10(tmp_path / "source" / "stl10_binary")


@pytest.mark.parametrize("kind", ["folder", "gztar", "zip"])
def test_genuine_layout(tmp_path: Path, source: Path, kind: str) -> None:
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "archive"), kind, source.parent))
    manifest = import_dataset(source, tmp_path / "output", name="stl10")
    assert (manifest["source"], manifest["class_keys"]) == ("stl10-binary", KEYS)
    assert "frog" not in manifest["splits"]["train"]["per_class"]
    for split, labels in LABELS.items():
        kept = [row for row, label in enumerate(labels) if label != 8]
        stored = np.load(tmp_path / "output" / f"{split}_labels.npy")
        assert [CIFAR10_CLASS_KEYS.index(KEYS[label]) for label in stored] == [
            CIFAR_OF_STL[labels[row]] for row in kept
        ]
        expected = [shrink(draw_images(split)[row]) for row in kept]
        np.testing.assert_array_equal(np.load(tmp_path / "output" / f"{split}_images.npy"), expected)


def test_shrinking_is_antialiased(tmp_path: Path, source: Path) -> None:
    checkered = np.indices((96, 96)).sum(axis=0) % 2 * 255
    planes = np.broadcast_to(checkered.astype(np.uint8), (len(LABELS["test"]), 3, 96, 96))
    (source / "test_X.bin").write_bytes(planes.tobytes())
    import_dataset(source, tmp_path / "output", name="stl10")
    inner = np.load(tmp_path / "output" / "test_images.npy")[:, 2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127).max() < 20  # without antialiasing every pixel would be black or white


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("train_X.bin", bytes(27_647), "Entry 'train_X.bin' is not a whole number of 27648-byte STL-10 images."),
        ("test_X.bin", b"", "Entry 'test_X.bin' is not a whole number of 27648-byte STL-10 images."),
        ("train_X.bin", bytes(27_648), "'train_X.bin' has 1 images and 'train_y.bin' 20 labels."),
        ("train_y.bin", b"\x01\x00", "Entry 'train_y.bin' has an unknown class, 0, at position 1."),
        ("test_y.bin", b"\x0b", "Entry 'test_y.bin' has an unknown class, 11, at position 0."),
        ("test_y.bin", b"", "Entry 'test_y.bin' is empty."),
        ("test_y.bin", None, "STL-10's file 'test_y.bin' is missing."),
        ("class_names.txt", b"apple\n", "Entry 'class_names.txt' names classes that are not STL-10's."),
        ("data_batch_1.bin", bytes(3073), "The source mixes CIFAR-10 binary batches and STL-10 binary files."),
    ],
)
def test_bad_files(source: Path, output: Path, name: str, data: bytes | None, sentence: str) -> None:
    if data is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        import_dataset(source, output, name="bad")
    assert str(caught.value) == sentence
    assert not output.parent.parent.exists()


def test_known_files_may_be_large_and_the_unlabelled_one_is_never_held(tmp_path: Path, source: Path) -> None:
    """The limit of 30,000 bytes stands for the real one, which STL-10's arrays exceed as these do."""
    archive = tmp_path / "stl10_binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "stl10_binary")
        info = tarfile.TarInfo("other/unlabeled_X.bin")
        info.size = 3_000_001
        tar.addfile(info, io.BytesIO(np.random.default_rng(0).bytes(info.size)))
    limits = ArchiveLimits(max_entry_bytes=30_000)
    assert import_dataset(archive, tmp_path / "output", name="stl10", limits=limits)["splits"]["train"]["count"] == 18
    assert limits.bytes_allowed("stl10_binary/train_X.bin") == 5_000 * 27_648
    assert limits.bytes_allowed("stl10_binary/test_X.bin") == 8_000 * 27_648


def test_torchvision_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(root: str, *, split: str, download: bool) -> SimpleNamespace:
        assert (root, download) == (str(tmp_path), True)
        labels = np.array(LABELS[split], dtype=np.uint8) - 1
        return SimpleNamespace(data=draw_images(split).transpose(0, 3, 1, 2), labels=labels)

    monkeypatch.setattr("torchvision.datasets.STL10", load)
    manifest = download_stl10(tmp_path / "output", download_root=tmp_path)
    assert (manifest["source"], manifest["class_keys"]) == ("torchvision-stl10", KEYS)
    assert manifest["splits"]["train"]["per_class"] == dict.fromkeys(KEYS, 2)
    assert manifest["splits"]["test"]["per_class"] == dict.fromkeys(KEYS, 1)
    np.testing.assert_array_equal(np.load(tmp_path / "output/train_images.npy")[0], shrink(draw_images("train")[0]))


def test_download_without_network(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_network(*_arguments: object, **_options: object) -> None:
        raise URLError("unreachable")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", find_no_network)
    with pytest.raises(NetworkError, match=r"^STL-10 could not be downloaded: the network does not answer\. Import an"):
        download_stl10(output, download_root=tmp_path / "downloads")
    assert not output.parent.parent.exists()

"""Archives and folders become the same exact arrays; whatever is wrong is named and leaves nothing behind."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.engine import dataset_draft
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.engine.dataset_draft import hash_manifest
from training.engine.dataset_files import preview_name
from training.engine.datasets import import_dataset
from training.engine.exceptions import DatasetError, DiskFullError
from training.engine.package import hash_file
from training.engine.recipes import RECIPES

REAL_TEST_IMAGES_SHA256 = "85608e5c3b6bd3ba50b3b24e719903e6029556dbae3981605c7b7ad3920256b0"  # libjpeg-turbo
KEYS = ("cat", "dog", "owl")
COUNTS = {"train": 3, "test": 2}


def pixels_of(split: str, key: str, number: int) -> NDArray[np.uint8]:
    seed = [ord(letter) for letter in f"{split}/{key}/{number}"]
    return np.random.default_rng(seed).integers(0, 256, size=(32, 32, 3), dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_tree(folder: Path) -> Path:
    for split, count in COUNTS.items():
        for key in KEYS:
            (folder / split / key).mkdir(parents=True)
            for number in range(count):
                (folder / split / key / f"{number}.png").write_bytes(png(pixels_of(split, key, number)))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder of three classes, nine training and six test images."""
    return write_tree(tmp_path / "source" / "top")


def refuse(source: Path, output: Path, *, skip_unreadable: bool = False) -> str:
    """Import, expect a refusal that leaves nothing behind, and return its sentence."""
    with pytest.raises(DatasetError) as caught:
        import_dataset(source, output, name="bad", skip_unreadable=skip_unreadable)
    assert not output.parent.parent.exists()
    assert str(caught.value).endswith(".")
    return str(caught.value)


def check_arrays(dataset: Path, manifest: dict[str, Any]) -> None:
    """Compare every pixel and label with what the tree was made of."""
    assert json.loads((dataset / "manifest.json").read_text()) == manifest
    assert manifest["class_keys"] == list(KEYS)
    for split, count in COUNTS.items():
        images = np.load(dataset / f"{split}_images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(dataset / f"{split}_labels.npy", allow_pickle=False)
        expected = [pixels_of(split, key, number) for key in KEYS for number in range(count)]
        np.testing.assert_array_equal(images, expected)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert labels.tolist() == [label for label in range(len(KEYS)) for _ in range(count)]
        assert manifest["splits"][split] == {"count": 3 * count, "per_class": dict.fromkeys(KEYS, count)}


def test_folder(tree: Path, output: Path) -> None:
    manifest = import_dataset(tree, output, name="pets", notes="mine")
    check_arrays(output, manifest)
    assert {key: manifest[key] for key in ("schema", "name", "notes", "source", "synthetic", "image_size")} == {
        "schema": 1,
        "name": "pets",
        "notes": "mine",
        "source": "folder",
        "synthetic": False,
        "image_size": 32,
    }
    assert manifest["skipped"] == []
    assert sorted(path.name for path in output.iterdir()) == [
        *sorted(preview_name(recipe) for recipe in RECIPES),
        "checks.json",
        "manifest.json",
        *sorted(manifest["files"]),
    ]
    assert all(hash_file(output / name) == sha256 for name, sha256 in manifest["files"].items())
    assert manifest["sha256"] == hash_manifest(manifest)
    assert [path.name for path in output.parent.iterdir()] == ["output"]


def test_moments_are_those_of_the_train_split(tree: Path, output: Path) -> None:
    manifest = import_dataset(tree, output, name="pets")
    images = np.load(output / "train_images.npy") / 255
    np.testing.assert_allclose(manifest["mean"], images.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(manifest["std"], images.std(axis=(0, 1, 2)), atol=1e-6)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "xztar"])
@pytest.mark.parametrize("with_top", [False, True])
def test_archive(tree: Path, output: Path, kind: str, *, with_top: bool) -> None:
    archive = Path(shutil.make_archive(str(output.parents[2] / "a"), kind, tree.parent if with_top else tree))
    manifest = import_dataset(archive, output, name="pets")
    check_arrays(output, manifest)
    assert manifest["source"] == "archive"


def test_same_source_same_manifest(tree: Path, tmp_path: Path) -> None:
    first = import_dataset(tree, tmp_path / "first", name="pets")
    second = import_dataset(tree, tmp_path / "second", name="pets")
    assert first == second
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tree))
    third = import_dataset(archive, tmp_path / "third", name="pets")
    assert third["files"] == first["files"]
    (tree / "train/cat/0.png").write_bytes(png(pixels_of("train", "cat", 99)))
    assert import_dataset(tree, tmp_path / "fourth", name="pets")["sha256"] != first["sha256"]


def test_cifar10_class_order(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for key in reversed(CIFAR10_CLASS_KEYS):
            (tmp_path / "source" / split / key).mkdir(parents=True)
            (tmp_path / "source" / split / key / "0.png").write_bytes(png(pixels_of(split, key, 0)))
    manifest = import_dataset(tmp_path / "source", tmp_path / "output", name="ten")
    assert manifest["class_keys"] == list(CIFAR10_CLASS_KEYS)
    np.testing.assert_array_equal(np.load(tmp_path / "output/test_labels.npy"), range(10))
    np.testing.assert_array_equal(np.load(tmp_path / "output/test_images.npy")[9], pixels_of("test", "truck", 0))


def test_litter_is_ignored(tree: Path, output: Path) -> None:
    for name in ("__MACOSX/train/._x", ".DS_Store", "train/.DS_Store", "train/cat/._0.png"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"x")
    check_arrays(output, import_dataset(tree, output, name="pets"))


def test_progress_is_told_in_the_units_of_the_source(tree: Path, output: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    import_dataset(tree, output, name="pets", on_progress=lambda *progress: seen.append(progress))
    assert seen[:2] == [(1, 15, "0 files read"), (15, 15, "Writing the dataset")]
    assert {message for _done, _total, message in seen[2:]} == {"Checking the images"}


def test_hostile_archive_leaves_nothing_behind(hostile: tuple[Path, Any], output: Path) -> None:
    path, case = hostile
    assert case.says in refuse(path, output)
    assert list(path.parent.iterdir()) == [path]


def unreadable(tree: Path) -> str:
    (tree / "train/cat/1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return "Entry 'train/cat/1.png' is cut short."


def not_an_image(tree: Path) -> str:
    (tree / "test/dog/notes.txt").write_text("hello")
    return "Entry 'test/dog/notes.txt' is not a JPEG, PNG, WEBP, GIF or BMP image."


def empty_file(tree: Path) -> str:
    (tree / "test/dog/1.png").write_bytes(b"")
    return "Entry 'test/dog/1.png' is empty."


def stray_file(tree: Path) -> str:
    (tree / "labels.csv").touch()
    return "Entry 'labels.csv' lies outside train/<class>/ and test/<class>/ and is no CIFAR-10 binary batch."


def too_deep(tree: Path) -> str:
    (tree / "train/cat/old").mkdir()
    (tree / "train/cat/old/0.png").touch()
    return "Entry 'train/cat/old/0.png' lies outside"


def image_without_class(tree: Path) -> str:
    (tree / "train/0.png").touch()
    return "Entry 'train/0.png' lies outside"


def two_tops(tree: Path) -> str:
    shutil.copytree(tree / "train", tree / "zoo" / "train")
    return "Entry 'zoo/train/cat/0.png' lies outside"


def unknown_class(tree: Path) -> str:
    shutil.copytree(tree / "test/cat", tree / "test/lynx")
    return "Class 'lynx' has no images in the train split."


def missing_class(tree: Path) -> str:
    shutil.rmtree(tree / "test/owl")
    return "Class 'owl' has no images in the test split."


def empty_class(tree: Path) -> str:
    for split in ("train", "test"):
        (tree / split / "yak").mkdir()
    return "Class 'yak' has no readable images in the train split."


def empty_split(tree: Path) -> str:
    shutil.rmtree(tree / "test")
    return "The source has no test images."


def one_class(tree: Path) -> str:
    for split in ("train", "test"):
        for key in ("dog", "owl"):
            shutil.rmtree(tree / split / key)
    return "'cat' is the only class; a classifier needs at least two."


def odd_class_name(tree: Path) -> str:
    (tree / "train/cat").rename(tree / "train" / ("c" * 65))
    return f"Entry 'train/{'c' * 65}' has a class name that is too long"


def link(tree: Path) -> str:
    (tree / "train/cat/link.png").symlink_to("/etc/passwd")
    return "Entry 'train/cat/link.png' is a symbolic link."


def pipe(tree: Path) -> str:
    os.mkfifo(tree / "train/cat/pipe.png")
    return "Entry 'train/cat/pipe.png' is a device or another special file."


def mixed_layouts(tree: Path) -> str:
    (tree / "data_batch_1.bin").write_bytes(bytes(3073))
    return "The source mixes class folders and CIFAR-10 binary batches."


def nothing(tree: Path) -> str:
    for split in ("train", "test"):
        shutil.rmtree(tree / split)
    return "The source has no train images."


@pytest.mark.parametrize(
    "spoil",
    [
        unreadable,
        not_an_image,
        empty_file,
        stray_file,
        too_deep,
        image_without_class,
        two_tops,
        unknown_class,
        missing_class,
        empty_class,
        empty_split,
        one_class,
        odd_class_name,
        link,
        pipe,
        mixed_layouts,
        nothing,
    ],
)
def test_refused(tree: Path, output: Path, spoil: Callable[[Path], str]) -> None:
    sentence = spoil(tree)
    assert refuse(tree, output).startswith(sentence)


def test_unreadable_files_can_be_skipped(tree: Path, output: Path) -> None:
    (tree / "train/cat/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tree / "test/dog/notes.txt").write_text("hello")
    (tree / "labels.csv").touch()
    manifest = import_dataset(tree, output, name="pets", skip_unreadable=True)
    assert manifest["skipped"] == [
        {
            "entry": "labels.csv",
            "reason": "lies outside train/<class>/ and test/<class>/ and is no CIFAR-10 binary batch",
        },
        {"entry": "test/dog/notes.txt", "reason": "is not a JPEG, PNG, WEBP, GIF or BMP image"},
        {"entry": "train/cat/bad.png", "reason": "is cut short"},
    ]
    check_arrays(output, manifest)


def test_class_of_unreadable_images_is_empty_even_when_skipping(tree: Path, output: Path) -> None:
    for number in range(2):
        (tree / f"test/dog/{number}.png").write_bytes(b"")
    assert refuse(tree, output, skip_unreadable=True) == "Class 'dog' has no readable images in the test split."


def test_missing_source(tmp_path: Path, output: Path) -> None:
    assert refuse(tmp_path / "nowhere.zip", output) == "'nowhere.zip' cannot be read: No such file or directory."


def test_source_that_is_no_file(tmp_path: Path, output: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refuse(tmp_path / "pipe", output) == "'pipe' is neither an archive nor a folder."


def test_existing_output_is_left_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/mine").touch()
    with pytest.raises(DatasetError, match="'output' exists already"):
        import_dataset(tree, tmp_path / "output", name="pets")
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["mine"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(tree: Path, output: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse_to_sync(_path: Path) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr(dataset_draft, "sync", refuse_to_sync)
    with pytest.raises(DiskFullError, match="The disk is full"):
        import_dataset(tree, output, name="pets")
    assert not output.parent.parent.exists()


def test_other_disk_errors_pass_and_leave_nothing(tree: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_to_read(*_arguments: int) -> bytes:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("training.engine.dataset_arrays.os.pread", refuse_to_read)
    with pytest.raises(OSError, match="broken"):
        import_dataset(tree, output, name="pets")
    assert not output.parent.parent.exists()


def test_abandoned_draft_is_removed_but_not_one_in_use(tree: Path, tmp_path: Path) -> None:
    abandoned, in_use = tmp_path / ".output.draft-1", tmp_path / ".output.draft-2"
    for folder in (abandoned, in_use):
        folder.mkdir()
        (folder / "train.raw").touch()
    lock = os.open(in_use, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    import_dataset(tree, tmp_path / "output", name="pets")
    os.close(lock)
    assert not abandoned.exists()
    assert (in_use / "train.raw").exists()


@pytest.mark.skipif("CIFARSITE_TEST_DATA" not in os.environ, reason="CIFARSITE_TEST_DATA names no folder of real data")
def test_real_archive(tmp_path: Path) -> None:
    archive = Path(os.environ["CIFARSITE_TEST_DATA"]) / "cifar10-images.tar.xz"
    manifest = import_dataset(archive, tmp_path / "output", name="cifar10-jpeg")
    assert manifest["splits"]["train"] == {"count": 50_000, "per_class": dict.fromkeys(CIFAR10_CLASS_KEYS, 5_000)}
    assert manifest["splits"]["test"] == {"count": 10_000, "per_class": dict.fromkeys(CIFAR10_CLASS_KEYS, 1_000)}
    assert manifest["mean"] == [0.49125, 0.48209, 0.446521]
    assert manifest["files"]["test_images.npy"] == REAL_TEST_IMAGES_SHA256

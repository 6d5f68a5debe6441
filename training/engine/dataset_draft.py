"""Writing a dataset directory: rows go to a hidden sibling that is renamed when complete, or removed.

Rows arrive in any order and are never held in memory: they are appended to one raw file per split, then copied in their
final order. That order does not depend on the container, so a zip, a tar and a folder of the same files give the same
arrays.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import CIFAR10_CLASS_KEYS, DATASET_SCHEMA, IMAGE_SIZE, MANIFEST_NAME
from training.engine.data_checks import REPORT_NAME, check_dataset, write_report
from training.engine.dataset_arrays import ColorMoments, write_images
from training.engine.exceptions import DatasetError, DiskFullError
from training.engine.package import hash_file, sync
from training.engine.progress import ProgressCallback, ignore_progress

Split = Literal["train", "test"]
Source = Literal[
    "archive", "folder", "cifar10-binary", "torchvision-cifar10", "stl10-binary", "torchvision-stl10", "demo"
]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)


class _SplitDraft:
    """Rows of one split, in order of arrival."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("w+b")
        self.class_numbers = array("q")
        self.entries: list[str] = []


class DatasetDraft:
    """A dataset directory being written.

    Args:
        folder: The hidden directory that receives files.
        output: The directory it becomes.
    """

    def __init__(self, folder: Path, *, output: Path) -> None:
        self._folder = folder
        self._output = output
        self._class_numbers: dict[str, int] = {}
        self._splits = {split: _SplitDraft(folder / f"{split}.raw") for split in SPLITS}

    def add(self, split: Split, pixels: NDArray[np.uint8], *, class_keys: Sequence[str], entry: str) -> None:
        """Append images.

        Args:
            split: Where they belong.
            pixels: (N, 32, 32, 3) uint8.
            class_keys: N class names.
            entry: What the images are ordered by; they keep the order given here among themselves.
        """
        draft = self._splits[split]
        draft.file.write(np.ascontiguousarray(pixels).tobytes())
        for class_key in class_keys:
            draft.class_numbers.append(self._class_numbers.setdefault(class_key, len(self._class_numbers)))
            draft.entries.append(entry)

    def count_per_class(self, split: Split) -> dict[str, int]:
        """Return how many images of each class a split has so far; classes without any are absent."""
        names = list(self._class_numbers)
        return {names[number]: count for number, count in Counter(self._splits[split].class_numbers).items()}

    def publish(
        self,
        *,
        name: str,
        source: Source,
        notes: str = "",
        skipped: Sequence[dict[str, str]] = (),
        by_class: bool = True,
        on_progress: ProgressCallback = ignore_progress,
    ) -> dict[str, Any]:
        """Write arrays and manifest, check the images, draw them augmented, flush all to disk and name the directory.

        Args:
            name: The dataset's name.
            source: Where it comes from.
            notes: What a reader should know about it.
            skipped: `entry` and `reason` of every file that was left out.
            by_class: Order images by class, then entry; otherwise by entry alone.
            on_progress: Told how far the check of the images is.

        Returns:
            The manifest.

        Raises:
            DatasetError: A class or a split is missing.
            OSError: The disk refuses.
        """
        class_keys = order_classes(self._class_numbers)
        self._check_complete(class_keys)
        colors = {split: self._write_split(split, class_keys=class_keys, by_class=by_class) for split in SPLITS}
        return self._seal(
            {
                "schema": DATASET_SCHEMA,
                "name": name,
                "notes": notes,
                "source": source,
                "synthetic": source == "demo",
                "image_size": IMAGE_SIZE,
                "class_keys": class_keys,
                "splits": {split: self._describe_split(split, class_keys) for split in SPLITS},
                "mean": colors["train"].mean,
                "std": colors["train"].std,
                "skipped": list(skipped),
            },
            on_progress=on_progress,
        )

    def close(self) -> None:
        """Close the files; harmless after `publish`."""
        for draft in self._splits.values():
            draft.file.close()

    def _write_split(self, split: Split, *, class_keys: Sequence[str], by_class: bool) -> ColorMoments:
        """Write a split's arrays in their final order and drop its raw file; return the moments of its colours."""
        draft = self._splits[split]
        label_of = np.array([class_keys.index(key) for key in self._class_numbers], dtype=np.int64)
        labels = label_of[np.frombuffer(draft.class_numbers, dtype=np.int64)]
        keys = list(zip(labels.tolist(), draft.entries, strict=True)) if by_class else draft.entries
        order = sorted(range(len(labels)), key=keys.__getitem__)
        moments = write_images(self._folder / f"{split}_images.npy", draft.file, order=order)
        np.save(self._folder / f"{split}_labels.npy", labels[order], allow_pickle=False)
        draft.file.close()
        (self._folder / f"{split}.raw").unlink()
        return moments

    def _check_complete(self, class_keys: Sequence[str]) -> None:
        for split in SPLITS:
            counts = self.count_per_class(split)
            if not counts:
                raise DatasetError(f"The source has no {split} images.")
            for class_key in class_keys:
                if class_key not in counts:
                    raise DatasetError(f"Class '{class_key}' has no images in the {split} split.")
        if len(class_keys) < 2:
            raise DatasetError(f"'{class_keys[0]}' is the only class; a classifier needs at least two.")

    def _describe_split(self, split: Split, class_keys: Sequence[str]) -> dict[str, Any]:
        counts = self.count_per_class(split)
        return {"count": sum(counts.values()), "per_class": {key: counts[key] for key in class_keys}}

    def _seal(self, manifest: dict[str, Any], *, on_progress: ProgressCallback) -> dict[str, Any]:
        files = sorted(self._folder.glob("*.npy"))
        manifest["files"] = {file.name: hash_file(file) for file in files}
        manifest["sha256"] = hash_manifest(manifest)
        manifest_path = self._folder / MANIFEST_NAME
        manifest_path.write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_report(check_dataset(self._folder, on_progress=on_progress), self._folder / REPORT_NAME)
        from training.engine.dataset_preview import draw_previews  # noqa: PLC0415 - torch takes seconds to import

        draw_previews(self._folder)
        for path in (*files, manifest_path, self._folder):
            sync(path)
        self._folder.rename(self._output)
        sync(self._output.parent)
        return manifest


def order_classes(class_keys: Sequence[str] | dict[str, int]) -> list[str]:
    """Return CIFAR-10's ten names in their own order, any other set sorted."""
    return list(CIFAR10_CLASS_KEYS) if set(class_keys) == set(CIFAR10_CLASS_KEYS) else sorted(class_keys)


def hash_manifest(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest's canonical JSON, its own `sha256` key left out."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def draft_dataset(output: Path) -> Iterator[DatasetDraft]:
    """Open a draft that becomes `output` when published, and leaves nothing behind otherwise.

    Args:
        output: The final directory; it must not exist.

    Yields:
        The draft.

    Raises:
        DatasetError: `output` exists.
        DiskFullError: No space is left.
    """
    if os.path.lexists(output):
        raise DatasetError(f"'{output.name}' exists already; choose another output directory or remove it first.")
    created = [parent for parent in output.parents if not parent.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_drafts(output)
    folder = output.parent / f"{_draft_prefix(output)}{secrets.token_hex(6)}"
    folder.mkdir()
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.closing(DatasetDraft(folder, output=output)) as draft:
            yield draft
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("The disk is full: the dataset was not written.") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        if not output.exists():
            _remove_empty(created)


def _draft_prefix(output: Path) -> str:
    return f".{output.name}.draft-"


def _remove_abandoned_drafts(output: Path) -> None:
    """Remove what a killed import left beside `output`; a draft in use is locked."""
    for folder in output.parent.glob(f"{_draft_prefix(output)}*"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()

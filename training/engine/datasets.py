"""Importing images into the house format: an archive or a folder in, a dataset directory out.

Three layouts are understood, each alone or inside one top folder: `train/<class>/*` with `test/<class>/*`, CIFAR-10's
binary batches `data_batch_N.bin` with `test_batch.bin`, and STL-10's binary files.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from training.engine import stl10
from training.engine.archive_rules import ArchiveLimits, SourceEntry, refuse_entry, shown_name
from training.engine.archives import DEFAULT_LIMITS, count_files, iterate_archive, iterate_folder
from training.engine.cifar10 import (
    BATCH_NAME,
    CLASS_LIST_NAME,
    SIDE_FILES,
    check_batch_numbers,
    check_class_list,
    parse_batch,
)
from training.engine.dataset_draft import SPLITS, DatasetDraft, Source, Split, draft_dataset
from training.engine.exceptions import DatasetError
from training.engine.photograph import ImageLimits, PhotographError, decode_photograph, to_rgb_square
from training.engine.progress import ProgressCallback, ignore_progress

MAX_CLASSES: Final = 1_000
MAX_CLASS_NAME_CHARACTERS: Final = 64
_PROGRESS_EVERY: Final = 500
_LAYOUT: Final = "lies outside train/<class>/ and test/<class>/ and is no CIFAR-10 binary batch"


def import_dataset(
    source: Path,
    output: Path,
    *,
    name: str,
    notes: str = "",
    skip_unreadable: bool = False,
    limits: ArchiveLimits = DEFAULT_LIMITS,
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Any]:
    """Import an archive or a folder.

    Args:
        source: The archive or folder.
        output: The final dataset directory; it must not exist. A failed import leaves nothing there or beside it.
        name: The dataset's name.
        notes: What a reader of the manifest should know.
        skip_unreadable: Leave out, and list in the manifest, files that are no readable image; otherwise they stop the
            import.
        limits: What an archive may hold.
        on_progress: Told about progress every few hundred files.

    Returns:
        The manifest.

    Raises:
        DatasetError: The source is refused; one sentence names the entry.
        DiskFullError: No space is left.
    """
    total = _measure(source)
    with draft_dataset(output) as draft:
        importer = _Importer(draft, skip_unreadable=skip_unreadable, max_image_bytes=limits.max_entry_bytes)
        for number, entry in enumerate(_iterate_source(source, limits=limits, on_folder=importer.declare_folder)):
            importer.take(entry)
            if number % _PROGRESS_EVERY == 0:
                on_progress(entry.position, total, f"{number:,} files read")
        on_progress(total, total, "Writing the dataset")
        importer.complete()
        return draft.publish(
            name=name,
            source=importer.describe_source(is_folder=source.is_dir()),
            notes=notes,
            skipped=importer.skipped,
            by_class=not importer.is_ordered,
            on_progress=on_progress,
        )


def _measure(source: Path) -> int:
    """Return the size of the source in its own unit: files of a folder, bytes of an archive."""
    shown = shown_name(source.name)
    try:
        if source.is_dir():
            return count_files(source)
        size = source.stat().st_size
    except OSError as error:
        raise DatasetError(f"'{shown}' cannot be read: {error.strerror}.") from error
    if not source.is_file():
        raise DatasetError(f"'{shown}' is neither an archive nor a folder.")
    return size


def _iterate_source(source: Path, *, limits: ArchiveLimits, on_folder: Callable[[str], None]) -> Iterator[SourceEntry]:
    iterate = iterate_folder if source.is_dir() else iterate_archive
    try:
        yield from iterate(source, limits=limits, on_folder=on_folder)
    except OSError as error:
        raise DatasetError(f"'{shown_name(source.name)}' cannot be read: {error.strerror}.") from error


class _Importer:
    """Sorts entries into splits and classes, and images into the draft.

    Args:
        draft: Receives the images.
        skip_unreadable: Whether files that are no readable image are left out rather than refused.
        max_image_bytes: Of one image file.
    """

    def __init__(self, draft: DatasetDraft, *, skip_unreadable: bool, max_image_bytes: int) -> None:
        self.skipped: list[dict[str, str]] = []
        self._draft = draft
        self._skip_unreadable = skip_unreadable
        self._image_limits = ImageLimits(max_bytes=max_image_bytes)
        self._top: str | None = None
        self._declared: dict[Split, set[str]] = {split: set() for split in SPLITS}
        self._batch_numbers: list[int] = []
        self._stl10 = stl10.Stl10Files()
        self._has_images = False
        self._has_batches = False

    @property
    def is_ordered(self) -> bool:
        """Whether the images have an order of their own: that of the binary files."""
        return self._has_batches or bool(self._stl10)

    def declare_folder(self, name: str) -> None:
        """Note a class that exists as a folder, so that it is missed when it holds nothing."""
        split, parts = self._split_of(name)
        if split is not None and len(parts) == 1:
            self._declared[split].add(_check_class_name(parts[0], entry=name))

    def take(self, entry: SourceEntry) -> None:
        """Import one file.

        Raises:
            DatasetError: It is refused.
        """
        base_name = entry.name.rpartition("/")[2]
        if batch := BATCH_NAME.fullmatch(base_name):
            self._take_batch(entry, base_name, number=batch[1])
            return
        if base_name in stl10.FILE_NAMES:
            self._stl10.take(base_name, entry.data, entry=entry.name)
            return
        split, parts = self._split_of(entry.name)
        if split is not None and len(parts) == 2:
            self._take_image(entry, split, class_key=_check_class_name(parts[0], entry=entry.name))
        elif base_name == CLASS_LIST_NAME:
            check_class_list(entry.data, entry=entry.name)
        elif base_name == stl10.CLASS_LIST_NAME:
            stl10.check_class_list(entry.data, entry=entry.name)
        elif base_name not in SIDE_FILES | stl10.SIDE_FILES:
            self._skip_or_refuse(entry.name, _LAYOUT)

    def complete(self) -> None:
        """Make sure that the source was complete, and add what had to wait for its end.

        Raises:
            DatasetError: Two layouts are mixed, a binary file is missing, or a class folder holds no readable image.
        """
        layouts = {
            "class folders": self._has_images,
            "CIFAR-10 binary batches": self._has_batches,
            "STL-10 binary files": bool(self._stl10),
        }
        present = [layout for layout, is_present in layouts.items() if is_present]
        if len(present) > 1:
            raise DatasetError(f"The source mixes {' and '.join(present)}.")
        check_batch_numbers(self._batch_numbers)
        if self._stl10:
            self._stl10.add_to(self._draft)
        for split in SPLITS:
            counts = self._draft.count_per_class(split)
            for class_key in sorted(self._declared[split]):
                if class_key not in counts:
                    raise DatasetError(f"Class '{class_key}' has no readable images in the {split} split.")

    def describe_source(self, *, is_folder: bool) -> Source:
        """Return the manifest's word for where the images come from."""
        if self._has_batches:
            return "cifar10-binary"
        if self._stl10:
            return "stl10-binary"
        return "folder" if is_folder else "archive"

    def _split_of(self, name: str) -> tuple[Split | None, list[str]]:
        """Return the split an entry belongs to and the rest of its path; None outside both splits."""
        parts = name.split("/")
        for depth, top in ((0, ""), (1, parts[0])):
            if len(parts) > depth and parts[depth] in SPLITS and self._top in (None, top):
                self._top = top
                return SPLITS[SPLITS.index(parts[depth])], parts[depth + 1 :]
        return None, parts

    def _take_batch(self, entry: SourceEntry, base_name: str, *, number: str | None) -> None:
        self._has_batches = True
        if number is not None:
            self._batch_numbers.append(int(number))
        pixels, class_keys = parse_batch(entry.data, entry=entry.name)
        split: Split = "test" if number is None else "train"
        self._draft.add(split, pixels, class_keys=class_keys, entry=base_name)

    def _take_image(self, entry: SourceEntry, split: Split, *, class_key: str) -> None:
        self._has_images = True
        self._declared[split].add(class_key)
        if len(self._declared[split]) > MAX_CLASSES:
            raise refuse_entry(entry.name, f"starts class number {MAX_CLASSES + 1:,}, more than are taken")
        try:
            pixels = to_rgb_square(decode_photograph(entry.data, limits=self._image_limits).image)
        except PhotographError as error:
            self._skip_or_refuse(entry.name, error.detail)
        else:
            self._draft.add(split, pixels[None], class_keys=[class_key], entry=entry.name)

    def _skip_or_refuse(self, name: str, why: str) -> None:
        if not self._skip_unreadable:
            raise refuse_entry(name, why)
        self.skipped.append({"entry": shown_name(name), "reason": why})


def _check_class_name(name: str, *, entry: str) -> str:
    if len(name) > MAX_CLASS_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise refuse_entry(entry, "has a class name that is too long, padded with blanks or not printable")
    return unicodedata.normalize("NFC", name)

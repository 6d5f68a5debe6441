"""What is wrong with a dataset before anything is trained on it: balance, empty pictures, copies, contradicting labels.

The report is a JSON file in the dataset's directory, outside its hashed content: checking again changes no dataset.
Imports no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from training.engine.dataset_files import SPLITS, map_split, read_dataset_manifest
from training.engine.exceptions import CopiesError, DatasetError
from training.engine.image_copies import (
    MAX_HASH_DISTANCE,
    MIN_CORRELATION,
    Copies,
    CopyFinder,
    ImageSet,
    count_shared,
)
from training.engine.package import sync
from training.engine.progress import ProgressCallback, ignore_progress

REPORT_NAME: Final = "checks.json"
REPORT_SCHEMA: Final = 1
_TRAIN, _TEST = 0, 1  # positions of the dataset's own splits among the compared sets
_MAX_EXAMPLES: Final = 20


def check_dataset(
    path: Path, *, against: Sequence[Path] = (), on_progress: ProgressCallback = ignore_progress
) -> dict[str, Any]:
    """Check a dataset.

    Args:
        path: Its directory.
        against: Directories of other datasets that models may learn from first; their training images are compared.
        on_progress: Told how many images were looked at.

    Returns:
        The report. `comparisons` counts, for pairs of sets, the images of the first that have copies in the second;
        `test_copies` lists the test images that occur, exactly or nearly, among the training images.

    Raises:
        DatasetError: A directory is no dataset.
    """
    manifest = read_dataset_manifest(path)
    others = [read_dataset_manifest(other) for other in against]
    sets = [_open_set(path, split, manifest=manifest, name=split) for split in SPLITS]
    sets += [
        _open_set(other, "train", manifest=its_manifest, name=str(its_manifest["name"]))
        for other, its_manifest in zip(against, others, strict=True)
    ]
    finder = CopyFinder(sets, on_progress=on_progress)
    pairs = [(_TRAIN, _TRAIN), (_TEST, _TEST), (_TEST, _TRAIN)]
    pairs += [(own, other) for other in range(len(SPLITS), len(sets)) for own in (_TEST, _TRAIN)]
    comparisons = [finder.compare(first, second) for first, second in pairs]
    leaked = comparisons[pairs.index((_TEST, _TRAIN))]
    return {
        "schema": REPORT_SCHEMA,
        "dataset": _identify(manifest),
        "against": [_identify(other) for other in others],
        "method": {"hash": "pHash", "max_distance": MAX_HASH_DISTANCE, "min_correlation": MIN_CORRELATION},
        "splits": {split: _describe_split(finder, number, sets[number]) for number, split in enumerate(SPLITS)},
        "left_out": len(manifest.get("skipped", [])),
        "comparisons": [_describe_copies(copies) for copies in comparisons],
        "test_copies": np.flatnonzero(leaked.exact | leaked.near).tolist(),
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report in one step.

    Raises:
        OSError: The disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    sync(draft)
    draft.replace(path)


def read_report(dataset: Path) -> dict[str, Any] | None:
    """Read the report in a dataset's directory; None when the dataset was never checked.

    Raises:
        DatasetError: It is damaged, of an unknown schema, or about another dataset.
    """
    path = dataset / REPORT_NAME
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is not readable; check the dataset again.") from error
    if not isinstance(report, dict) or report.get("schema") != REPORT_SCHEMA:
        raise DatasetError(f"{path} does not follow schema {REPORT_SCHEMA}; check the dataset again.")
    if report["dataset"]["sha256"] != read_dataset_manifest(dataset)["sha256"]:
        raise DatasetError(f"{path} is about another dataset; check this one.")
    return report


def list_test_copies(dataset: Path) -> list[int]:
    """Return the positions of the test images that occur, exactly or nearly, among the training images.

    Empty when the dataset was never checked.

    Raises:
        DatasetError: As `read_report`.
    """
    return list((read_report(dataset) or {}).get("test_copies", []))


def summarize_report(report: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a report without the list that may be as long as the test split; empty when there is none."""
    return {key: value for key, value in (report or {}).items() if key != "test_copies"}


def count_exact_copies(report: Mapping[str, Any], *, among: str = "train") -> int:
    """Return how many test images are exact copies of training images.

    Args:
        report: Of the dataset whose test images they are.
        among: "train" for its own training images, or the name of a dataset that it was checked against; 0 if it was
            not.
    """
    return sum(
        int(comparison["exact"])
        for comparison in report["comparisons"]
        if (comparison["first"], comparison["second"]) == ("test", among)
    )


def require_separate_splits(report: Mapping[str, Any] | None, *, accept_copies: bool) -> None:
    """Refuse a dataset whose test images were copied into its training images, unless that was accepted.

    Args:
        report: Of the dataset; None when it was never checked.
        accept_copies: Whether somebody accepted them.

    Raises:
        CopiesError: Test images are exact copies of training images.
    """
    copies = 0 if report is None or accept_copies else count_exact_copies(report)
    if copies:
        raise CopiesError(
            f"{copies:,} of the test images are exact copies of training images, so the test would measure memory; "
            "accept them for this dataset or remove them.",
            count=copies,
        )


def require_separate_auxiliary(dataset: Path, *, auxiliary: Path) -> None:
    """Refuse an auxiliary dataset that has test images of the dataset among its training images.

    Args:
        dataset: Directory of the dataset that is trained on in the end.
        auxiliary: Directory of the dataset that is learned from first.

    Raises:
        CopiesError: Test images are exact copies of its training images.
        DatasetError: A directory is no dataset.
    """
    name = str(read_dataset_manifest(auxiliary)["name"])
    test = _open_set(dataset, "test", manifest=read_dataset_manifest(dataset), name="test")
    learned = _open_set(auxiliary, "train", manifest=read_dataset_manifest(auxiliary), name=name)
    copies = count_shared(test.images, learned.images)
    if copies:
        raise CopiesError(
            f"{copies:,} of the test images are exact copies of training images of the auxiliary dataset {name}, so "
            "the test would measure memory; accept them for this dataset or remove them.",
            count=copies,
        )


def _open_set(path: Path, split: str, *, manifest: Mapping[str, Any], name: str) -> ImageSet:
    class_keys = [str(key) for key in manifest["class_keys"]]
    images, labels = map_split(path, split=split, class_count=len(class_keys))
    return ImageSet(name=name, images=images, labels=labels, class_keys=class_keys)


def _identify(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {"name": str(manifest["name"]), "sha256": str(manifest["sha256"])}


def _describe_split(finder: CopyFinder, number: int, images: ImageSet) -> dict[str, Any]:
    """Count a split's images; `balance` is the smallest class over the largest, in [0, 1]."""
    counts = np.bincount(images.labels, minlength=len(images.class_keys))
    constants = finder.constants(number)
    return {
        "images": int(counts.sum()),
        "per_class": dict(zip(images.class_keys, counts.tolist(), strict=True)),
        "balance": round(float(counts.min() / max(counts.max(), 1)), 4),
        "constant": len(constants),
        "constant_examples": constants[:_MAX_EXAMPLES].tolist(),
    }


def _describe_copies(copies: Copies) -> dict[str, Any]:
    return {
        "first": copies.first,
        "second": copies.second,
        "exact": int(copies.exact.sum()),
        "near": int(copies.near.sum()),
        "conflicting": int(copies.conflicting.sum()),
        "examples": [asdict(example) for example in copies.examples],
    }

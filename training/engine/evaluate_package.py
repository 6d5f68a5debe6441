"""A packaged model, measured anew on the test split of any dataset with its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from training.engine.assess import STAGES, Material, StageCallback, assess_network, describe_score, gather_material
from training.engine.data import Dataset, load_dataset, split_validation
from training.engine.data_checks import list_test_copies
from training.engine.exceptions import DatasetError, PackageError
from training.engine.mistakes import draw_pictures
from training.engine.networks.stored import load_network
from training.engine.package import PackageManifest, hash_file, sync, verify_package
from training.engine.scores import LOGIT_SCORES
from training.engine.sights import keep_sights

_LISTED_CLASSES: Final = 10


def evaluate_package(
    package_path: Path,
    dataset_path: Path,
    *,
    augments_at_test_time: bool,
    on_stage: StageCallback,
    output: Path | None = None,
) -> dict[str, Any]:
    """Measure a package on a dataset's test split, with the temperature and the threshold of its manifest.

    Thresholds for the comparison of scores come from the images that its run set aside for validation; on another
    dataset from that one's training images. These it has not learnt, unless they are those of its first phase.

    Args:
        package_path: Directory of the package.
        dataset_path: Directory of the dataset.
        augments_at_test_time: Whether to measure test-time augmentation as well.
        on_stage: See `assess_network`; with `output` also told each of `SIGHT_STAGES`.
        output: Directory to create for what `keep_sights` writes; None for figures alone.

    Returns:
        JSON-ready figures: a manifest's `metrics`, `mistakes`, `out_of_distribution` and `test_time_augmentation`, what
        they were measured on, and `files`, the hashes of those in `output`.

    Raises:
        PackageError: The package is damaged, or its weights or score are not what this version knows.
        DatasetError: The dataset is damaged or has other classes.
        OSError: `output` exists, or cannot be written.
    """
    package, dataset = verify_package(package_path), load_dataset(dataset_path)
    require_same_classes(package.class_keys, dataset=dataset)
    served = package.raw["out_of_distribution"]
    require_known_score(served["score"])
    material = _gather(package, dataset=dataset)
    network = load_network(package)
    assessment = assess_network(
        network,
        material=material,
        temperature=package.temperature,
        augments_at_test_time=augments_at_test_time,
        on_stage=on_stage,
    )
    if output is not None:
        output.mkdir()
        keep_sights(
            output,
            network=network,
            assessment=assessment,
            training=dataset.train,
            first_stage=len(STAGES),
            on_stage=on_stage,
        )
    return {
        "package_sha256": package.sha256,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "test_count": len(dataset.test)},
        "held_out": {"split": material.held_out_from, "count": len(material.held_out)},
        "calibration": {"temperature": package.temperature},
        "metrics": assessment.metrics,
        "mistakes": draw_pictures(material.test, mistakes=assessment.mistakes),
        "out_of_distribution": describe_score(assessment, score=served["score"], threshold=served["threshold"]),
        "test_time_augmentation": assessment.test_time_augmentation,
        "files": {} if output is None else _seal(output),
    }


def _seal(folder: Path) -> dict[str, str]:
    """Force the files of a folder onto the disk; returns their hashes by name."""
    files = sorted(folder.iterdir())
    for path in (*files, folder):
        sync(path)
    return {path.name: hash_file(path) for path in files}


def require_same_classes(class_keys: Sequence[str], *, dataset: Dataset) -> None:
    """Refuse a dataset whose classes are not those of the model, in the same order.

    Raises:
        DatasetError: They differ.
    """
    if list(class_keys) != dataset.class_keys:
        raise DatasetError(
            f"The model's classes are {_listed(class_keys)}, those of dataset {dataset.name} are "
            f"{_listed(dataset.class_keys)}; allowed is a dataset with the same classes in the same order."
        )


def require_known_score(name: str) -> None:
    """Refuse a manifest whose out-of-distribution score cannot be computed.

    Raises:
        PackageError: It is unknown.
    """
    if name not in LOGIT_SCORES:
        known = " and ".join(LOGIT_SCORES)
        raise PackageError(f"The manifest's out-of-distribution score is {name!r}; known are {known}.")


def _gather(package: PackageManifest, *, dataset: Dataset) -> Material:
    """Divide the training images as the package's run did if they are its own."""
    is_own = dataset.sha256 == package.raw["dataset"]["sha256"]
    training, validation = split_validation(
        dataset.train.labels,
        class_count=len(package.class_keys),
        fraction=package.raw["config"]["validation_fraction"] if is_own else 0.0,
        seed=package.raw["seed"],
    )
    return gather_material(
        class_keys=package.class_keys,
        test=dataset.test,
        training=dataset.train.select(training),
        validation=dataset.train.select(validation),
        copies=list_test_copies(dataset.path) if is_own else (),
    )


def _listed(class_keys: Sequence[str]) -> str:
    """Name classes in a sentence."""
    rest = len(class_keys) - _LISTED_CLASSES
    return ", ".join(class_keys[:_LISTED_CLASSES]) + (f" and {rest} more" if rest > 0 else "")

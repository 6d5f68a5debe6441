"""Evaluations that have ended, with the files that the engine would have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.evaluated import evaluated_manifest
from tests.factories import DatasetFactory, EvaluationFactory
from training.choices import JobStatus
from training.engine.constants import ANSWERS_NAME, BANK_NAME, MAP_NAME
from training.engine.package import hash_file
from training.models import Dataset, Evaluation, ModelVersion
from training.storage import artifacts


def make_tested(folder: Path, *, name: str, labels: Sequence[int], version: ModelVersion) -> Dataset:
    """Return a dataset with a few black test images, on which `version` was tested.

    Args:
        folder: An existing directory for its arrays.
        name: Its name.
        labels: Of the images.
        version: A version with its classes.
    """
    np.save(folder / "test_labels.npy", np.array(labels))
    np.save(folder / "test_images.npy", np.zeros((len(labels), 32, 32, 3), dtype=np.uint8))
    sha256 = version.manifest["dataset"]["sha256"]
    dataset: Dataset = DatasetFactory.create(name=name, sha256=sha256, location=str(folder))
    return dataset


def make_evaluation(
    version: ModelVersion,
    dataset: Dataset,
    *,
    answers: Sequence[int],
    vectors: Any = ((1.0,),),
    seen: Sequence[int] = (0,),
) -> Evaluation:
    """Return an evaluation that succeeded.

    Args:
        version: What was evaluated.
        dataset: On what; its arrays are the caller's business.
        answers: What the version answered to each test image; the images lie on the map's diagonal.
        vectors: (B, C), what it sees of training images.
        seen: Which training images these are.
    """
    job: Evaluation = EvaluationFactory.create(version=version, dataset=dataset, status=JobStatus.SUCCEEDED)
    location = f"evaluations/{job.pk}-1"
    folder = artifacts(location)
    folder.mkdir(parents=True, exist_ok=True)  # keys are given again after a rollback
    np.save(folder / ANSWERS_NAME, np.asarray(answers, dtype=np.uint16))
    np.savez(
        folder / BANK_NAME, vectors=np.asarray(vectors, dtype=np.float16), indices=np.asarray(seen, dtype=np.int64)
    )
    places = np.linspace(0, 1, len(answers), dtype=np.float32)
    np.savez(folder / MAP_NAME, indices=np.arange(len(answers)), points=np.stack([places, places], axis=1))
    report = {
        **evaluated_manifest(),
        "package_sha256": version.package_sha256,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "test_count": len(answers)},
        "held_out": {"split": "validation", "count": 100},
        "calibration": {"temperature": 1.0},
        "files": {path.name: hash_file(path) for path in folder.iterdir()},
    }
    Evaluation.objects.filter(pk=job.pk).update(report=report, location=location)
    job.refresh_from_db()
    return job

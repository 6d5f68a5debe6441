"""Rows for tests, with the least that makes each one real."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import factory
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.utils import timezone
from factory.django import DjangoModelFactory

from cifarsite.accounts.models import User
from classifier.choices import Source
from classifier.models import BatchJob, Original, Prediction
from tests.tiny_model import build_package, picture
from training.choices import TERMINAL_STATUSES, ImportSource, JobStatus, ModelState
from training.engine.config import TrainConfig
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.models import Dataset, DatasetImport, EpochMetric, Evaluation, ModelVersion, TrainingRun
from training.registry import register_package

declare: Any = factory  # it says that it is typed, and is not
PASSWORD = "correct horse battery"


@cache
def _hash_password(_hashers: tuple[str, ...]) -> str:
    return make_password(PASSWORD)  # slow on purpose: once for each set of hashers is enough


def _join_groups(user: User, create: bool, names: Iterable[str] | None) -> None:  # factory-boy's way
    if create:
        user.groups.set(Group.objects.filter(name__in=names or []))


class UserFactory(DjangoModelFactory[User]):
    """A person; `groups=["trainer"]` puts them into groups, their password is `PASSWORD`."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = declare.Sequence(lambda number: f"person{number}")
    password = declare.LazyFunction(lambda: _hash_password(tuple(settings.PASSWORD_HASHERS)))

    groups = declare.PostGeneration(_join_groups)


def dataset_manifest(name: str, *, class_keys: Iterable[str] = CIFAR10_CLASS_KEYS) -> dict[str, Any]:
    """Return the manifest of a dataset of 20 training and 4 test images per class."""
    keys = list(class_keys)
    return {
        "schema": 1,
        "name": name,
        "notes": "",
        "source": "demo",
        "synthetic": True,
        "image_size": 32,
        "class_keys": keys,
        "splits": {
            "train": {"count": 20 * len(keys), "per_class": dict.fromkeys(keys, 20)},
            "test": {"count": 4 * len(keys), "per_class": dict.fromkeys(keys, 4)},
        },
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "skipped": [],
        "files": {},
        "sha256": "0" * 64,
    }


def check_report(name: str, *, exact: int = 0, near: int = 0) -> dict[str, Any]:
    """Return the report of a dataset with `exact` and `near` copies of training images among its test images."""
    none = {"exact": 0, "near": 0, "conflicting": 0, "examples": []}
    return {
        "schema": 1,
        "dataset": {"name": name, "sha256": "0" * 64},
        "against": [],
        "method": {"hash": "pHash", "max_distance": 8, "min_correlation": 0.85},
        "splits": {
            split: {"images": 0, "per_class": {}, "balance": 1.0, "constant": 0, "constant_examples": []}
            for split in ("train", "test")
        },
        "left_out": 0,
        "comparisons": [
            {"first": "train", "second": "train", **none},
            {"first": "test", "second": "test", **none},
            {"first": "test", "second": "train", **none, "exact": exact, "near": near},
        ],
    }


class DatasetFactory(DjangoModelFactory[Dataset]):
    """A dataset's row; its arrays exist only when a test imports some."""

    class Meta:
        model = Dataset

    name = declare.Sequence(lambda number: f"shapes-{number}")
    sha256 = "0" * 64
    location = declare.Sequence(lambda number: f"datasets/{9000 + number}-1")
    manifest = declare.LazyAttribute(lambda row: dataset_manifest(row.name))
    synthetic = True
    train_count = 200
    test_count = 40


class JobFactory(DjangoModelFactory[Any]):
    """A job's row in any state, with the lease or the end that belongs to it, and without a history."""

    class Meta:
        abstract = True

    status = JobStatus.QUEUED
    lease_until = declare.LazyAttribute(lambda row: in_state(row.status)["lease_until"])
    finished_at = declare.LazyAttribute(lambda row: in_state(row.status)["finished_at"])


def in_state(status: JobStatus) -> dict[str, Any]:
    """Return the fields of a job in a state, for an UPDATE that no worker and no service would make."""
    now = timezone.now()
    return {
        "status": status,
        "lease_until": now + timedelta(seconds=45) if status == JobStatus.RUNNING else None,
        "finished_at": now if status in TERMINAL_STATUSES else None,
    }


class BatchJobFactory(JobFactory):
    """A queued batch whose archive is gone."""

    class Meta:
        model = BatchJob

    owner = declare.SubFactory(UserFactory)
    source = Source.API
    archive_bytes = 1000


class DatasetImportFactory(JobFactory):
    """A queued import of the demo dataset."""

    class Meta:
        model = DatasetImport

    name = declare.Sequence(lambda number: f"imported-{number}")
    source = ImportSource.DEMO


def make_config(**overrides: object) -> dict[str, object]:
    """Return what `TrainingRun.config` holds: the recipe `fast`, two epochs, with `overrides`."""
    mapping = {"epochs": 2, **overrides, "dataset": "/nowhere", "recipe": "fast"}
    config: dict[str, object] = dict(TrainConfig.from_dict(mapping).to_dict())
    del config["dataset"]
    return config


class TrainingRunFactory(JobFactory):
    """A queued run of two epochs."""

    class Meta:
        model = TrainingRun

    owner = declare.SubFactory(UserFactory)
    dataset = declare.SubFactory(DatasetFactory)
    recipe = "fast"
    config = declare.LazyFunction(make_config)


class EpochMetricFactory(DjangoModelFactory[EpochMetric]):
    """What one epoch measured."""

    class Meta:
        model = EpochMetric

    run = declare.SubFactory(TrainingRunFactory)
    epoch = declare.Sequence(lambda number: number + 1)
    step = declare.LazyAttribute(lambda row: row.epoch * 10)
    images = 100
    train_loss = declare.LazyAttribute(lambda row: 2.3 / row.epoch)
    train_accuracy = 0.5
    validation_loss = 1.0
    validation_accuracy = 0.4
    f1_macro = 0.35
    learning_rate = 0.1
    seconds = 1.5


def make_transfer_run(*, metrics: dict[str, Any] | None = None, **fields: Any) -> TrainingRun:
    """Return a run that succeeded in two phases: 2 epochs of 300 images of `photos`, then 2 of 100."""
    first = {"auxiliary_dataset": "photos", "auxiliary_epochs": 2, "auxiliary_learning_rate": 0.1}
    status = fields.pop("status", JobStatus.SUCCEEDED)
    run: TrainingRun = TrainingRunFactory.create(
        config=make_config(**first),
        status=status,
        metrics=metrics or {},
        environment={"steps_per_epoch": 10},
        **fields,
    )
    for phase, images in ((1, 300), (2, 100)):
        for epoch in (1, 2):
            step = (phase - 1) * 60 + epoch * images // 10
            EpochMetricFactory.create(run=run, phase=phase, epoch=epoch, step=step, images=images)
    return run


class ModelVersionFactory(DjangoModelFactory[ModelVersion]):
    """A version whose package is on the disk and answers in OpenVINO (`tests.tiny_model`).

    `shift`, `class_keys`, … of `build_package` are taken too; `state` and `run` are the row's.
    """

    class Meta:
        model = ModelVersion

    @classmethod
    def _create(cls, model_class: type[ModelVersion], *_args: object, **options: object) -> ModelVersion:
        package: dict[str, Any] = {"temperature": 1.0 + cls._next_number() * 1e-6, **options}  # a hash of its own
        state, run = package.pop("state", ModelState.CANDIDATE), package.pop("run", None)
        version = register_package(build_package(Path(settings.VAR) / "packages", **package), run=run)
        model_class.objects.filter(pk=version.pk).update(state=state)
        version.refresh_from_db()
        return version

    _number = 0

    @classmethod
    def _next_number(cls) -> int:
        ModelVersionFactory._number += 1
        return ModelVersionFactory._number


class EvaluationFactory(JobFactory):
    """A queued evaluation of a version on a dataset with its classes."""

    class Meta:
        model = Evaluation

    version = declare.SubFactory(ModelVersionFactory)
    dataset = declare.LazyAttribute(
        lambda row: DatasetFactory.create(
            manifest=dataset_manifest("evaluated", class_keys=row.version.class_keys),
            sha256=row.version.manifest["dataset"]["sha256"],
        )
    )


class PredictionFactory(DjangoModelFactory[Prediction]):
    """An answered picture."""

    class Meta:
        model = Prediction

    owner = declare.SubFactory(UserFactory)
    source = Source.PAGE
    file_name = "cat.png"
    width = height = 32
    thumbnail = declare.LazyFunction(lambda: picture(image_format="JPEG"))
    pixels = bytes(range(256)) * 12  # (32, 32, 3) uint8
    model_version = declare.SubFactory(ModelVersionFactory)
    model_sha256 = declare.LazyAttribute(lambda row: row.model_version.package_sha256)
    class_id = 3
    class_key = "cat"
    confidence = 0.91
    probabilities = declare.LazyFunction(lambda: [0.01, 0.01, 0.01, 0.91, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])
    latency_ms = 1.5


class OriginalFactory(DjangoModelFactory[Original]):
    """The file of an answered picture."""

    class Meta:
        model = Original

    prediction = declare.SubFactory(PredictionFactory)
    data = declare.LazyFunction(lambda: picture(size=(320, 240)))
    sha256 = declare.LazyAttribute(lambda row: hashlib.sha256(row.data).hexdigest())
    media_type = "image/png"

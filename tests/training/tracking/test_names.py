"""Exactly under which names MLflow gets parameters and figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.factories import make_config
from training.models import EpochMetric
from training.tracking.names import name_epoch, name_figures, name_parameters

CONFIG: dict[str, object] = {
    "recipe": "fast",
    "epochs": 15,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "seed": 7,
    "architecture": "resnet18",
    "pretrained": "imagenet",
    "optimizer": "adamw",
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "schedule": "one_cycle",
    "flip": True,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
}
PARAMETERS = {
    "recipe": "fast",
    "num_epochs": "15",
    "batch_size": "128",
    "learning_rate": "0.001",
    "seed": "7",
    "model_name": "resnet18",
    "pretrained": "imagenet",
    "optimizer": "adamw",
    "weight_decay": "0.05",
    "label_smoothing": "0.1",
    "scheduler": "one_cycle",
    "flip": "True",
    "mixup_alpha": "0.2",
    "cutmix_alpha": "1.0",
    "dataset": "cifar10",
    "dataset_sha256": "ab" * 32,
}


@pytest.mark.parametrize(
    ("phases", "named"),
    [
        ({}, {}),
        (
            {"auxiliary_dataset": "", "auxiliary_epochs": 5},
            {"auxiliary_dataset": "", "auxiliary_epochs": "5"},
        ),
        (
            {"auxiliary_dataset": "stl10", "auxiliary_epochs": 5},
            {
                "auxiliary_dataset": "stl10",
                "auxiliary_epochs": "5",
                "num_epochs_stl10": "5",
                "num_epochs_cifar10": "15",
            },
        ),
    ],
    ids=["no such field", "one phase", "two phases"],
)
def test_parameters(phases: dict[str, object], named: dict[str, str]) -> None:
    parameters = name_parameters({**CONFIG, **phases}, dataset="cifar10", dataset_sha256="ab" * 32)
    assert parameters == PARAMETERS | named


def test_a_package_that_names_its_own_dataset_keeps_one_name() -> None:
    config = {**CONFIG, "dataset": "/var/datasets/1-1"}
    assert name_parameters(config, dataset="cifar10", dataset_sha256="ab" * 32) == PARAMETERS


def test_no_field_of_a_configuration_is_lost() -> None:
    config = make_config()
    parameters = name_parameters(config, dataset="shapes", dataset_sha256="0" * 64)
    renamed = {"architecture": "model_name", "epochs": "num_epochs", "schedule": "scheduler"}
    assert {renamed.get(name, name) for name in config} | {"dataset", "dataset_sha256"} == set(parameters)


def test_figures() -> None:
    manifest: dict[str, Any] = {
        "metrics": {
            "accuracy": 0.9,
            "top5_accuracy": 0.99,
            "precision_macro": 0.81,
            "recall_macro": 0.82,
            "f1_macro": 0.83,
            "per_class": [{"class_key": "cat", "f1": 0.5}],
            "confusion_matrix": [[1]],
            "ece": 0.01,
            "nll": 0.3,
            "loss": 0.4,
            "accuracy_without_near_duplicates": None,
            "near_duplicate_count": 3,
            "is_calibrated": True,
        },
        "wall_seconds": 12.5,
    }
    assert name_figures(manifest) == {
        "test_loss": 0.4,
        "test_accuracy": 0.9,
        "precision": 0.81,
        "recall": 0.82,
        "f1": 0.83,
        "top5_accuracy": 0.99,
        "total_training_time_seconds": 12.5,
        "test_ece": 0.01,
        "test_nll": 0.3,
        "test_near_duplicate_count": 3.0,
    }


AT = datetime(2026, 1, 2, tzinfo=UTC)
EPOCH = {"epoch": 3, "step": 30, "train_loss": 1.5, "train_accuracy": 0.5, "learning_rate": 0.1, "seconds": 2.0}


@pytest.mark.parametrize(("phase", "prefix"), [(0, ""), (2, "phase2_")])
def test_an_epoch_s_figures(phase: int, prefix: str) -> None:
    measured = {"validation_loss": 1.25, "validation_accuracy": 0.75, "f1_macro": 0.7}
    figures = name_epoch(EpochMetric(phase=phase, measured_at=AT, **EPOCH, **measured))
    assert (figures.step, figures.at) == (3, AT)
    assert figures.values == {
        f"{prefix}train_loss": 1.5, f"{prefix}train_acc": 0.5, f"{prefix}val_loss": 1.25, f"{prefix}val_acc": 0.75,
        f"{prefix}f1_macro": 0.7, f"{prefix}learning_rate": 0.1, f"{prefix}epoch_seconds": 2.0,
    }  # fmt: skip


def test_what_an_epoch_did_not_measure_is_left_out() -> None:
    figures = name_epoch(EpochMetric(measured_at=AT, **EPOCH))
    assert set(figures.values) == {"train_loss", "train_acc", "learning_rate", "epoch_seconds"}

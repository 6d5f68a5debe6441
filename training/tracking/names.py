"""Under which names MLflow knows what this site knows: parameters and final figures. Imports no mlflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from training.models import EpochMetric

_PARAMETERS: Final = {"architecture": "model_name", "epochs": "num_epochs", "schedule": "scheduler"}
_FIGURES: Final = {
    "precision_macro": "precision",
    "recall_macro": "recall",
    "f1_macro": "f1",  # `f1_macro` is the curve of the validation images
    "top5_accuracy": "top5_accuracy",
}
_EPOCH_FIGURES: Final = {
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_loss": "validation_loss",
    "val_acc": "validation_accuracy",
    "f1_macro": "f1_macro",
    "learning_rate": "learning_rate",
    "epoch_seconds": "seconds",
}
"""An epoch's figures: MLflow's name → the row's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured at one moment.

    Attributes:
        values: Numbers by MLflow's name.
        step: MLflow's step: the epoch, counted from 1 in each phase; 0 for the end.
        at: When it was measured. Figures of the same name, step, moment and value are one in MLflow, however often
            they are sent.
    """

    values: Mapping[str, float]
    step: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription:
    """What MLflow is told when a run is opened there.

    Attributes:
        name: The run's name.
        parameters: Its configuration, under MLflow's names.
        tags: What nobody else's run has: by them it is found again when its id is not known.
        run_id: Its id in MLflow; empty before there is one.
        started_at: When it began; None for now.
    """

    name: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    run_id: str = ""
    started_at: datetime | None = None


def name_parameters(config: Mapping[str, object], *, dataset: str, dataset_sha256: str) -> dict[str, str]:
    """Return a run's parameters.

    Args:
        config: The fields of its `TrainConfig`; those without a name of their own keep theirs.
        dataset: The dataset's name, instead of its path.
        dataset_sha256: The hash of the dataset's manifest.

    Returns:
        Text by name. A run in two phases also has the epochs of each, as `num_epochs_stl10` (whatever the auxiliary
        dataset is) and `num_epochs_cifar10`.
    """
    named = {_PARAMETERS.get(name, name): value for name, value in config.items()}
    if config.get("auxiliary_dataset"):
        named |= {"num_epochs_stl10": config["auxiliary_epochs"], "num_epochs_cifar10": config["epochs"]}
    named |= {"dataset": dataset, "dataset_sha256": dataset_sha256}
    return {name: str(value) for name, value in named.items()}


def name_epoch(epoch: EpochMetric) -> Figures:
    """Return an epoch's figures, without those it does not have; those of two phases are told apart by name."""
    prefix = f"phase{epoch.phase}_" if epoch.phase else ""
    known = {name: getattr(epoch, field) for name, field in _EPOCH_FIGURES.items()}
    values = {f"{prefix}{name}": float(value) for name, value in known.items() if value is not None}
    return Figures(values=values, step=epoch.epoch, at=epoch.measured_at)


def name_figures(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return the final figures of a model package's manifest.

    Returns:
        `test_loss`, `test_accuracy`, `precision`, `recall`, `f1` (means over the classes), `top5_accuracy` and
        `total_training_time_seconds`; the manifest's other single numbers as `test_…`. Shares are fractions in [0, 1].
    """
    figures = {
        _FIGURES.get(name, f"test_{name}"): float(value)
        for name, value in manifest["metrics"].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {**figures, "total_training_time_seconds": float(manifest["wall_seconds"])}

"""Where files live under the artifacts root."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

RUNS: Final = "runs"  # <run>/<fence>/: configuration, checkpoints, draft of the package
IMPORTS: Final = "imports"  # <import>/<fence>/: a dataset being made
DATASETS: Final = "datasets"  # <import>-<fence>/: a dataset
MODELS: Final = "models"  # <sha256>/: a model package
EVALUATIONS: Final = "evaluations"  # <evaluation>-<fence>/: what a version answers and sees of a dataset
UPLOADS: Final = "uploads"  # archives waiting for their import
CHECKPOINTS: Final = "checkpoints"  # runs/<run>/<fence>/checkpoints/step-<step>/
DRAFTS: Final = ".drafts"  # <random>/: what is being copied or downloaded, never read by anybody else
INDEX: Final = "index"  # <location>.json: files, sizes and hashes of what a remote store has


@dataclass(frozen=True, slots=True)
class Stored:
    """Something in the store.

    Attributes:
        location: Its name.
        size_bytes: What it takes.
        age_seconds: How long ago its newest file was written.
    """

    location: str
    size_bytes: int
    age_seconds: float


def artifacts(*parts: str | int) -> Path:
    """Return a path under the artifacts root; an absolute part stays itself."""
    return Path(settings.ARTIFACTS_ROOT).joinpath(*map(str, parts))


def mlflow_address() -> str:
    """Return where a person opens MLflow: as configured, else where `make mlflow` keeps it open, else empty."""
    if settings.MLFLOW_URL:
        return str(settings.MLFLOW_URL).rstrip("/")
    try:
        return (Path(settings.VAR) / "mlflow.url").read_text().strip()
    except FileNotFoundError:
        return ""


def free_bytes() -> int:
    """Return how much the file system of the artifacts root still takes.

    Raises:
        OSError: the artifacts root cannot be made or read.
    """
    artifacts().mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(artifacts()).free

"""What commands tell programs of runs, their waiting, their history, versions and promotions, with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from training.choices import Priority
from training.controls import find_counterpart, measure_difference
from training.models import ModelVersion, Promotion, TrainingRun, Transition
from training.services import Waiting, describe_waiting


def describe_run(run: TrainingRun) -> dict[str, Any]:
    """Return what a program wants to know about a run."""
    return describe_runs([run])[0]


def describe_runs(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Return what a program wants to know about several runs."""
    waiting = describe_waiting(runs)
    return [_describe_run(run, waiting.get(run.pk)) for run in runs]


def _describe_run(run: TrainingRun, waiting: Waiting | None) -> dict[str, Any]:
    version = ModelVersion.objects.filter(run=run).first()
    return {
        "run": run.pk,
        "status": run.status,
        "reason": run.reason,
        "detail": run.detail,
        "dataset": run.dataset.name,
        "recipe": run.recipe,
        "config": run.config,
        "priority": Priority(run.priority).name.lower(),
        "after": run.after_id,
        "continues": run.continues_id,
        "control_of": run.control_of_id,
        "difference": describe_difference(run),
        "environment": run.environment,
        "wall_seconds": run.wall_seconds,
        "metrics": run.metrics,
        "model_version": version and version.pk,
        "package_sha256": version and version.package_sha256,
        "test_accuracy": version and version.test_accuracy,
        "waiting": waiting and _describe_waiting(waiting),
    }


def describe_transition(change: Transition) -> dict[str, Any]:
    """Return what a program wants to know about one change of a job's state."""
    return {
        "at": change.at.isoformat(),
        "from": change.from_status,
        "to": change.to_status,
        "cause": change.cause,
        "by": change.by and change.by.username,
        "worker": change.worker,
        "attempt": change.attempt,
        "fence": change.fence,
        "reason": change.reason,
        "detail": change.detail,
    }


def _describe_waiting(waiting: Waiting) -> dict[str, Any]:
    return {
        "for": waiting.waits_for,
        "position": waiting.position,
        "expected_start": waiting.expected_start and waiting.expected_start.isoformat(),
        "after": waiting.after,
    }


def describe_difference(run: TrainingRun) -> dict[str, Any] | None:
    """Return how a transfer run and its control compare; None when there are not both."""
    counterpart = find_counterpart(run)
    difference = None if counterpart is None else measure_difference(run, counterpart)
    if counterpart is None or difference is None:
        return None
    return {"compared_with": counterpart.pk, "mean": difference.mean, **asdict(difference)}


def describe_version(version: ModelVersion) -> dict[str, Any]:
    """Return what a program wants to know about a version."""
    return {
        "version": str(version),
        "id": version.pk,
        "state": version.state,
        "test_accuracy": version.test_accuracy,
        "class_keys": version.class_keys,
        "recipe": version.manifest["recipe"],
        "dataset": version.manifest["dataset"]["name"],
        "run": version.run_id,
        "imported_by": version.imported_by and version.imported_by.username,
        "package_sha256": version.package_sha256,
        "created_at": version.created_at.isoformat(),
    }


def describe_promotion(promotion: Promotion) -> dict[str, Any]:
    """Return what a program wants to know about a change of champion."""
    return {
        "promotion": promotion.pk,
        "kind": promotion.kind,
        "version": str(promotion.version),
        "previous": promotion.previous and str(promotion.previous),
        "reason": promotion.reason,
        "at": promotion.at.isoformat(),
    }

"""What the API tells of runs and queues: the shapes that `training.api.serializers` documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.choices import Priority
from training.jobs import Job
from training.models import TrainingRun, Transition
from training.services import QueueState, Waiting, describe_waiting


def run_bodies(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Return `RunSerializer`'s shape of several runs, in a fixed number of queries."""
    waiting = describe_waiting(runs)
    return [_run_body(run, waiting.get(run.pk)) for run in runs]


def run_detail(run: TrainingRun) -> dict[str, Any]:
    """Return `RunDetailSerializer`'s shape."""
    [body] = run_bodies([run])
    return {**body, "settings": run.config, "metrics": run.metrics, "history": history_bodies(run)}


def history_bodies(job: Job) -> list[dict[str, Any]]:
    """Return `TransitionSerializer`'s shape of every change of a job's state, the oldest first."""
    return [_transition_body(change) for change in Transition.objects.of(job)]


def queue_body(state: QueueState) -> dict[str, Any]:
    """Return `QueueStateSerializer`'s shape."""
    return {
        "name": state.name.value,
        "paused_at": state.paused_at,
        "paused_by": state.paused_by or None,
        "queued": state.queued,
        "running": state.running,
    }


def _run_body(run: TrainingRun, waiting: Waiting | None) -> dict[str, Any]:
    version = getattr(run, "version", None)
    return {
        "id": run.pk,
        "status": run.status,
        "reason": run.reason or None,
        "detail": run.detail,
        "dataset": run.dataset.name,
        "recipe": run.recipe,
        "owner": run.owner.username if run.owner else None,
        "priority": Priority(run.priority).name.lower(),
        "after": run.after_id,
        "continues": run.continues_id,
        "control_of": run.control_of_id,
        "cancel_requested": run.cancel_requested,
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "attempts": run.attempts,
        "progress": {"done": run.progress_done, "total": run.progress_total, "message": run.progress_message},
        "waiting": waiting and _waiting_body(waiting),
        "model_version": version and str(version),
        "test_accuracy": version and version.test_accuracy,
    }


def _waiting_body(waiting: Waiting) -> dict[str, Any]:
    return {
        "for": waiting.waits_for.value,
        "position": waiting.position,
        "expected_start": waiting.expected_start,
        "after": waiting.after,
    }


def _transition_body(change: Transition) -> dict[str, Any]:
    return {
        "at": change.at,
        "from": change.from_status or None,
        "to": change.to_status,
        "cause": change.cause,
        "by": change.by.username if change.by else None,
        "worker": change.worker,
        "attempt": change.attempt,
        "fence": change.fence,
        "reason": change.reason or None,
        "detail": change.detail,
    }

"""How fast jobs advance, and what is left of them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from training.choices import JobStatus
from training.jobs import Job
from training.models import EpochMetric, TrainingRun


def elapsed_seconds(job: Job, *, now: datetime | None = None) -> float | None:
    """Return for how long the job has been worked on, None before it started."""
    if job.started_at is None:
        return None
    return ((job.finished_at or now or timezone.now()) - job.started_at).total_seconds()


def seconds_left(job: Job, *, last_epoch: EpochMetric | None = None, now: datetime | None = None) -> float | None:
    """Estimate the seconds a running job still needs, None while nothing is known.

    A run's newest epoch tells the pace best: a resumed run has waited in between, and later epochs use larger images.
    """
    remaining = job.progress_total - job.progress_done
    if job.status != JobStatus.RUNNING or job.progress_done <= 0 or remaining <= 0:
        return None
    if last_epoch is not None and last_epoch.step > 0:
        # Steps count on from the first phase to the second, whose own number the engine told when it began.
        is_second = last_epoch.phase > 1
        steps = last_epoch.run.environment["steps_per_epoch"] if is_second else last_epoch.step / last_epoch.epoch
        return float(last_epoch.seconds / steps * remaining)
    elapsed = elapsed_seconds(job, now=now)
    return None if elapsed is None else elapsed / job.progress_done * remaining


def expected_seconds(run: TrainingRun) -> float | None:
    """Estimate how long a run that has not begun will take, from the newest one of its dataset and recipe.

    Returns:
        Seconds, or None where no such run has succeeded yet.
    """
    alike = TrainingRun.objects.filter(
        dataset=run.dataset_id, recipe=run.recipe, status=JobStatus.SUCCEEDED, wall_seconds__isnull=False
    )
    known = alike.order_by("-pk").only("config", "wall_seconds").first()
    if known is None or known.wall_seconds is None:
        return None
    return float(known.wall_seconds * sum(run.epochs_by_phase.values()) / sum(known.epochs_by_phase.values()))

"""How fast jobs advance, and what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import OuterRef, Subquery
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


def expected_seconds(runs: Sequence[TrainingRun]) -> dict[int, float | None]:
    """Estimate what runs that are not at work will take, each from the newest one of its dataset and recipe.

    Args:
        runs: With `continues` joined, so that two queries do for all of them.

    Returns:
        Seconds by number of the run; None where no such run has succeeded yet.
    """
    alike = TrainingRun.objects.filter(
        dataset=OuterRef("dataset"), recipe=OuterRef("recipe"), status=JobStatus.SUCCEEDED, wall_seconds__isnull=False
    )
    newest = Subquery(alike.order_by("-pk").values("pk")[:1])
    known_by_run = dict(TrainingRun.objects.filter(pk__in=[run.pk for run in runs]).values_list("pk", newest))
    known = TrainingRun.objects.only("config", "wall_seconds").in_bulk({pk for pk in known_by_run.values() if pk})
    return {run.pk: _scale(known.get(known_by_run.get(run.pk, 0)), run) for run in runs}


def _scale(known: TrainingRun | None, run: TrainingRun) -> float | None:
    """Return how long `run` still takes, when an epoch takes it as long as it took the run `known`."""
    if known is None or known.wall_seconds is None:
        return None
    epochs = float(_count_epochs(run))
    if run.progress_total:  # it was at work before
        epochs *= 1 - min(1.0, run.progress_done / run.progress_total)
    elif run.continues is not None:
        epochs -= _count_epochs(run.continues)
    return known.wall_seconds / _count_epochs(known) * epochs


def _count_epochs(run: TrainingRun) -> int:
    return sum(run.epochs_by_phase.values())

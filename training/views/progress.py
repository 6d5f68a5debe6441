"""How far a job is, in terms a person thinks in."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from training.choices import JobStatus
from training.jobs import Job
from training.models import EpochMetric
from training.services import has_training_worker

POLL_RUNNING_SECONDS = 1
POLL_QUEUED_SECONDS = 2


def state_key(job: Job) -> str:
    """Return the state that a page shows, as one word: a job that shall end but has not is `running-ending`."""
    is_ending = job.cancel_requested and not job.is_terminal
    return f"{job.status}-ending" if is_ending else str(job.status)


def poll_seconds(job: Job) -> int:
    """Return after how many seconds a page shall ask again; 0 when nothing will change any more."""
    if job.is_terminal:
        return 0
    return POLL_RUNNING_SECONDS if job.status == JobStatus.RUNNING else POLL_QUEUED_SECONDS


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


def is_waiting_in_vain(job: Job) -> bool:
    """Whether the job is queued and no worker is there that would take it."""
    return job.status == JobStatus.QUEUED and not has_training_worker()

"""Why a queued batch has not begun."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Q

from classifier.inference import ModelNotReady, predictor
from classifier.models import BatchJob
from training.choices import JobStatus, QueueName
from training.services.queue_states import find_pause
from training.services.room import count_workers


class BatchWaitsFor(StrEnum):
    """What keeps a queued batch from being at work; where several things do, the first of this list is told."""

    QUEUE = "queue"  # which is paused
    NO_WORKER = "no_worker"
    MODEL = "model"  # none is ready
    TURN = "turn"
    WORKER = "worker"  # that takes it in a moment


@dataclass(frozen=True, slots=True)
class BatchWaiting:
    """Why a queued batch waits; `position` is its place among the waiting ones, 1 for the next."""

    waits_for: BatchWaitsFor
    position: int

    @property
    def before(self) -> int:
        """How many waiting batches are taken first."""
        return self.position - 1


def describe_batch_waiting(job: BatchJob) -> BatchWaiting | None:
    """Tell why a batch waits; None when it does not."""
    if job.status != JobStatus.QUEUED:
        return None
    earlier = Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk)
    queued = BatchJob.objects.filter(status=JobStatus.QUEUED, cancel_requested=False)
    return BatchWaiting(waits_for=_find_cause(job), position=1 + queued.filter(earlier).count())


def _find_cause(job: BatchJob) -> BatchWaitsFor:
    if find_pause(QueueName.INFERENCE) is not None:
        return BatchWaitsFor.QUEUE
    if not count_workers(QueueName.INFERENCE):
        return BatchWaitsFor.NO_WORKER
    if job.model_version_id is None and not _is_model_ready():
        return BatchWaitsFor.MODEL
    is_busy = BatchJob.objects.filter(status=JobStatus.RUNNING).exists()
    return BatchWaitsFor.TURN if is_busy else BatchWaitsFor.WORKER


def _is_model_ready() -> bool:
    try:
        predictor()
    except ModelNotReady:
        return False
    return True

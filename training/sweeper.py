"""What keeps jobs moving when a message, a worker or a machine is lost. Run every few seconds; safe to run twice."""

from __future__ import annotations

import logging
import os
import tempfile
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.db.models import ExpressionWrapper, Q, Value, fields
from django.db.models.functions import Now
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from training.choices import TERMINAL_STATUSES, JobStatus, QueueName
from training.doorbell import MIRROR_CHAMPION, MIRROR_RUN, count_messages, ring
from training.import_work import remove_traces
from training.job_kinds import is_named_upload, job_models
from training.jobs import Job
from training.mirror import runs_behind
from training.models import DatasetImport, Promotion, TrainingRun, Worker
from training.storage import IMPORTS, UPLOADS, artifacts

# A queued row is rung for again this often: a lost message costs so much, a busy worker finds so many in its queue.
RING_AGAIN_SECONDS: Final = 30
_RUNG_AT_ONCE: Final = 100
_SWEEP_SECONDS: Final = 4  # a little less than between two calls of beat
_ORPHAN_SECONDS: Final = 3600.0  # an upload that long without a row was interrupted
_FORGOTTEN_WORKER: Final = timedelta(days=1)
_MIRROR_EVERY: Final = timedelta(minutes=1)

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Take back jobs whose worker is gone, ring for those that wait, and remove what ended jobs left."""
    for model in job_models():
        _take_back(model)
    _abandon_followers()
    _ring_again()
    _mirror()
    _remove_leftovers()
    _remove_orphan_uploads()
    Worker.objects.filter(last_seen_at__lt=_ago(_FORGOTTEN_WORKER)).delete()


def sweep_if_due() -> None:
    """Sweep, unless somebody has in the last seconds: calls pile up while nobody serves their queue."""
    if _is_due("sweep", seconds=_SWEEP_SECONDS, unless_known=True):
        sweep()


def _take_back(model: type[Job]) -> None:
    taken_back = model.objects.reap_expired()
    if taken_back:
        logger.warning("%d %s lost their worker", taken_back, model._meta.verbose_name_plural)
    # Cancelled in the moment in which its worker gave it back: nobody may claim it, so it would wait for ever.
    given_back = model.objects.filter(status=JobStatus.QUEUED, cancel_requested=True)
    for pk in list(given_back.values_list("pk", flat=True)):
        model.drop_cancelled(pk)


def _ring_again() -> None:
    """Ring for jobs that wait while fewer messages do: messages were lost, or met workers that were not free.

    Never for more than that, or the messages of a queue behind a long run would grow without end.
    """
    for queue in QueueName:
        _ring_again_in(queue)


def _ring_again_in(queue: QueueName) -> None:
    waiting = [
        (model.task, pk, fence)
        for model in job_models()
        if model.queue == queue
        for pk, fence in model.objects.claimable().in_turn().values_list("pk", "fence")[:_RUNG_AT_ONCE]
    ]
    if not waiting:
        return
    try:
        missing = len(waiting) - count_messages(queue)
    except OperationalError as error:
        logger.warning("The broker does not answer: %s", error)
        return
    for task, pk, fence in waiting[: max(missing, 0)]:
        if _is_due(f"rung:{task}:{pk}:{fence}", seconds=RING_AGAIN_SECONDS):
            ring(task, pk)


def _abandon_followers() -> None:
    """Cancel the runs that were to follow one that did not succeed; whoever resumes that one resumes them too."""
    for run in TrainingRun.objects.waiting_in_vain().select_related("after"):
        TrainingRun.abandon(run.pk, detail=f"{run.after}, which it was to follow, did not succeed.")


def _mirror() -> None:
    """Have MLflow told of the champion, and of one run, when a minute was not enough for whoever should have.

    Not of all runs at once: one call to an MLflow that hangs keeps a worker for seconds.
    """
    if not settings.MLFLOW_TRACKING_URI or not _is_due("rung:mirror", seconds=_MIRROR_EVERY.total_seconds()):
        return
    promotion = Promotion.objects.filter(is_mirrored=False, at__lt=_ago(_MIRROR_EVERY)).first()
    if promotion is not None:
        ring(MIRROR_CHAMPION, promotion.pk)
    settled = Q(finished_at=None) | Q(finished_at__lt=_ago(_MIRROR_EVERY))
    told_by_others = runs_behind().filter(settled).exclude(status=JobStatus.RUNNING)  # those have a worker that tells
    run = told_by_others.order_by("?").first()  # or one that always fails would be in the others' way
    if run is not None:
        ring(MIRROR_RUN, run.pk)


def _ago(delta: timedelta) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() - Value(delta), output_field=fields.DateTimeField())


def _is_due(key: str, *, seconds: float, unless_known: bool = False) -> bool:
    """Whether nobody did this lately; kept in the cache, which may forget: then it is done once too often.

    Args:
        key: What is to be done.
        seconds: How long it counts as done.
        unless_known: The answer when the cache cannot say.
    """
    try:
        return bool(cache.add(key, 1, timeout=seconds))
    except RedisError as error:
        logger.warning("The cache does not answer: %s", error)
        return unless_known


def _remove_leftovers() -> None:
    """Remove working folders and uploads of imports that ended without their worker."""
    folder = artifacts(IMPORTS)
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    ended = DatasetImport.objects.filter(status__in=TERMINAL_STATUSES)
    for job in ended.filter(pk__in=numbers) | ended.filter(owns_source=True).exclude(source_path=""):
        remove_traces(job)


def _remove_orphan_uploads() -> None:
    """Remove uploads that no job names: the web process was killed while it took them in."""
    folder = artifacts(UPLOADS)
    if not folder.is_dir():
        return
    with tempfile.TemporaryFile(dir=folder) as probe:  # by the files' own clock: this machine's may be hours ahead
        now = os.fstat(probe.fileno()).st_mtime
    for path in folder.iterdir():
        is_old = now - path.stat().st_mtime > _ORPHAN_SECONDS
        if is_old and not is_named_upload(f"{UPLOADS}/{path.name}"):
            path.unlink(missing_ok=True)

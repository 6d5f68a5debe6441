"""What keeps jobs moving when a message, a worker or a machine is lost. Run every few seconds; safe to run twice."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db.models import ExpressionWrapper, Value, fields
from django.db.models.functions import Now
from redis.exceptions import RedisError

from training.choices import TERMINAL_STATUSES, JobStatus
from training.doorbell import END_TRACKING, EXECUTE_IMPORT, EXECUTE_RUN, ring
from training.import_work import remove_traces
from training.jobs import Job
from training.models import DatasetImport, TrainingRun, Worker
from training.storage import IMPORTS, UPLOADS, artifacts

# A queued row is rung for again this often: a lost message costs so much, a busy worker finds so many in its queue.
RING_AGAIN_SECONDS: Final = 30
_RUNG_AT_ONCE: Final = 100
_ORPHAN_SECONDS: Final = 3600.0  # an upload that long without a row was interrupted
_FORGOTTEN_WORKER: Final = timedelta(days=1)
_TRACKED_AGAIN: Final = timedelta(hours=1)

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Take back jobs whose worker is gone, ring for those that wait, and remove what ended jobs left."""
    for model, task in ((TrainingRun, EXECUTE_RUN), (DatasetImport, EXECUTE_IMPORT)):
        _sweep_jobs(model, task=task)
    _end_tracking()
    _remove_leftovers()
    _remove_orphan_uploads()
    Worker.objects.filter(last_seen_at__lt=_ago(_FORGOTTEN_WORKER)).delete()


def _sweep_jobs(model: type[Job], *, task: str) -> None:
    taken_back = model.objects.reap_expired()
    if taken_back:
        logger.warning("%d %s lost their worker", taken_back, model._meta.verbose_name_plural)
    waiting = model.objects.filter(status=JobStatus.QUEUED)
    # Cancelled in the moment in which its worker gave it back: nobody may claim it, so it would wait for ever.
    waiting.filter(cancel_requested=True).update(status=JobStatus.CANCELLED, finished_at=Now())
    for pk, fence in waiting.order_by("pk").values_list("pk", "fence")[:_RUNG_AT_ONCE]:
        if _is_due(f"rung:{task}:{pk}:{fence}", seconds=RING_AGAIN_SECONDS):
            ring(task, pk)


def _end_tracking() -> None:
    """Have MLflow told once how each run ended: a run that was given up, or cancelled in the queue, has no worker."""
    badly = TrainingRun.objects.filter(status__in=[JobStatus.FAILED, JobStatus.CANCELLED]).exclude(mlflow_run_id="")
    for pk in badly.filter(finished_at__gte=_ago(_TRACKED_AGAIN)).values_list("pk", flat=True):
        if _is_due(f"rung:{END_TRACKING}:{pk}", seconds=2 * _TRACKED_AGAIN.total_seconds()):
            ring(END_TRACKING, pk)


def _ago(delta: timedelta) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() - Value(delta), output_field=fields.DateTimeField())


def _is_due(key: str, *, seconds: float) -> bool:
    """Whether nobody rang for this lately; kept in the cache, which may forget: then it rings once too often."""
    try:
        return bool(cache.add(key, 1, timeout=seconds))
    except RedisError as error:
        logger.warning("The cache does not answer: %s", error)
        return False


def _remove_leftovers() -> None:
    """Remove working folders and uploads of imports that ended without their worker."""
    folder = artifacts(IMPORTS)
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    ended = DatasetImport.objects.filter(status__in=TERMINAL_STATUSES)
    for job in ended.filter(pk__in=numbers) | ended.filter(owns_source=True).exclude(source_path=""):
        remove_traces(job)


def _remove_orphan_uploads() -> None:
    """Remove uploads that no import names: the web process was killed while it took them in."""
    folder = artifacts(UPLOADS)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        is_old = time.time() - path.stat().st_mtime > _ORPHAN_SECONDS
        if is_old and not DatasetImport.objects.filter(source_path=f"{UPLOADS}/{path.name}").exists():
            path.unlink(missing_ok=True)

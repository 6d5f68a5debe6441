"""The worker's side of jobs: claim a row, run the engine for it, store what comes of it."""

from __future__ import annotations

import errno
import logging
import os
import socket
from functools import partial
from typing import TypeVar

from django.db import transaction

from training.choices import JobStatus, Reason
from training.doorbell import ring
from training.exceptions import FenceLostError
from training.import_work import ImportWork
from training.jobs import MAX_ATTEMPTS, Job
from training.models import DatasetImport, TrainingRun
from training.recording import Listener, ignore_event
from training.run_work import RunWork
from training.stopping import worker_stopping
from training.supervisor import TIMINGS, Ending, Outcome, Timings, supervise, write_until_lease_ends
from training.work import UnusableResultError, Work

_JobT = TypeVar("_JobT", bound=Job)

logger = logging.getLogger(__name__)


def execute_run(pk: int, *, listener: Listener = ignore_event, timings: Timings = TIMINGS) -> None:
    """Train run `pk` if it still waits for somebody; a message that came twice changes nothing.

    Args:
        pk: The run.
        listener: Told about every event of the engine.
        timings: The supervisor's patience.
    """
    run = _claim(TrainingRun, pk)
    if run is not None:
        _execute(run, RunWork(run, listener=listener), timings=timings)


def execute_import(pk: int, *, listener: Listener = ignore_event, timings: Timings = TIMINGS) -> None:
    """Carry out import `pk` if it still waits for somebody; a message that came twice changes nothing.

    Args:
        pk: The import.
        listener: Told about every event of the engine.
        timings: The supervisor's patience.
    """
    job = _claim(DatasetImport, pk)
    if job is not None:
        _execute(job, ImportWork(job, listener=listener), timings=timings)


def _claim(model: type[_JobT], pk: int) -> _JobT | None:
    """Claim a job, unless this worker shuts down: then the row stays queued and the sweeper rings for another."""
    return None if worker_stopping.is_set() else model.claim(pk, worker=f"{socket.gethostname()}:{os.getpid()}")


def _execute(job: Job, work: Work, *, timings: Timings) -> None:
    """Run the engine for a claimed job and bring the job to the state that the engine's end calls for."""
    logger.info("%s starts, attempt %d", job, job.attempts)
    status: JobStatus | None = None
    try:
        status = _settle(job, work, _run_engine(job, work, timings=timings), timings=timings)
        logger.info("%s is now %s", job, status)
    except FenceLostError:
        logger.warning("%s was taken from this worker, which writes nothing more about it", job)
    finally:
        work.clean_up(status)
    if status == JobStatus.QUEUED:
        ring(work.task, job.pk)


def _run_engine(job: Job, work: Work, *, timings: Timings) -> Outcome:
    try:
        return supervise(job, work.prepare(), sink=work.recorder, timings=timings)
    except OSError as error:
        return _describe_os_error(error)


def _settle(job: Job, work: Work, outcome: Outcome, *, timings: Timings) -> JobStatus:
    """Write the end of the engine's work; returns the state that the job is in then.

    Raises:
        FenceLostError: the job is no longer this worker's.
    """
    write_until_lease_ends(work.recorder.flush, timings=timings)
    if outcome.finished is not None:
        try:
            write_until_lease_ends(work.keep(outcome.finished, log_tail=outcome.log_tail), timings=timings)
        except UnusableResultError as error:
            outcome = Outcome(ending=Ending.FAILED, log_tail=outcome.log_tail, reason=error.reason, detail=str(error))
        except OSError as error:
            outcome = _describe_os_error(error, log_tail=outcome.log_tail)
        else:
            return JobStatus.SUCCEEDED
    write_until_lease_ends(partial(_end_without_result, job, outcome), timings=timings)
    job.refresh_from_db(fields=["status"])
    return JobStatus(job.status)


def _end_without_result(job: Job, outcome: Outcome) -> None:
    with transaction.atomic():
        job.record(log_tail=outcome.log_tail)  # first: the row is ours until the end of the transaction
        job.refresh_from_db(fields=["attempts", "cancel_requested"])
        if outcome.ending is Ending.FAILED:
            job.fail(reason=outcome.reason, detail=outcome.detail)
        elif outcome.ending is Ending.CANCELLED or job.cancel_requested:
            job.cancel()
        elif outcome.ending is Ending.RELEASED:
            job.release()
        elif job.attempts < MAX_ATTEMPTS:
            job.record(status=JobStatus.QUEUED, lease_until=None, worker="")  # unlike a release, the attempt counts
        else:
            job.fail(reason=outcome.reason, detail=outcome.detail)


def _describe_os_error(error: OSError, *, log_tail: str = "") -> Outcome:
    """Turn a file that cannot be written, or a process that cannot be started, into a failure."""
    logger.warning("A job fails", exc_info=error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason, detail = Reason.DISK_FULL, "The disk is full."
    else:
        reason, detail = Reason.ERROR, f"The worker could not do its part: {error.strerror or type(error).__name__}."
    return Outcome(ending=Ending.FAILED, log_tail=log_tail, reason=reason, detail=detail)

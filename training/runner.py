"""The worker's side of jobs: claim a row, run the engine for it, store what comes of it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from django.db import transaction

from training.choices import JobStatus, QueueName, Reason
from training.devices import INFERENCE_PLACE, HeldDevices, fits_this_machine, hold_devices, hold_place
from training.doorbell import ring
from training.evaluation_work import EvaluationWork
from training.exceptions import FenceLostError
from training.import_work import ImportWork
from training.job_kinds import job_models
from training.job_log import bind_job
from training.jobs import Job
from training.models import DatasetImport, Evaluation, TrainingRun
from training.recording import Listener, ignore_event
from training.run_work import RunWork
from training.stopping import worker_stopping
from training.supervisor import TIMINGS, Ending, Outcome, Timings, supervise, write_until_lease_ends
from training.work import UnusableResultError, Work
from training.workers import name_process

_JobT = TypeVar("_JobT", bound=Job)

# Of so many jobs the first that is to be had is taken: others may be claimed by somebody else at the same moment.
_CANDIDATES: Final = 10

logger = logging.getLogger(__name__)


def execute_run(pk: int, *, listener: Listener = ignore_event, timings: Timings = TIMINGS) -> None:
    """Train run `pk` if it still waits for somebody and may start; a message that came twice changes nothing.

    Args:
        pk: The run.
        listener: Told about every event of the engine.
        timings: The supervisor's patience.
    """
    run = TrainingRun.objects.filter(pk=pk).first()
    if run is not None:
        with hold_devices(run.device_count) as devices:
            if devices is not None:
                carry_out(TrainingRun, pk, _train(devices, listener=listener, timings=timings))


def execute_next_run(*, timings: Timings = TIMINGS) -> None:
    """Train the run whose turn it is, if any may start on this machine, whichever run it was that somebody rang for.

    While that one waits for more devices than are free, no later one overtakes it.
    """
    for run in TrainingRun.objects.claimable().in_turn()[:_CANDIDATES]:
        if not fits_this_machine(run.device_count):
            continue
        with hold_devices(run.device_count) as devices:
            if devices is None:
                return
            if carry_out(TrainingRun, run.pk, _train(devices, listener=ignore_event, timings=timings)):
                break
    ring_for_next(TrainingRun)


def execute_import(pk: int, *, listener: Listener = ignore_event, timings: Timings = TIMINGS) -> None:
    """Carry out import `pk` if it still waits for somebody; a message that came twice changes nothing.

    Args:
        pk: The import.
        listener: Told about every event of the engine.
        timings: The supervisor's patience.
    """
    carry_out(DatasetImport, pk, lambda job: execute(job, ImportWork(job, listener=listener), timings=timings))


def execute_next_import() -> None:
    """Carry out the import whose turn it is, whichever it was that somebody rang for."""
    _carry_out_next(DatasetImport, lambda job: execute(job, ImportWork(job, listener=ignore_event), timings=TIMINGS))
    ring_for_next(DatasetImport)


def execute_evaluation(pk: int, *, listener: Listener = ignore_event, timings: Timings = TIMINGS) -> None:
    """Carry out evaluation `pk` if it still waits for somebody; a message that came twice changes nothing.

    Args:
        pk: The evaluation.
        listener: Told about every event of the engine.
        timings: The supervisor's patience.
    """
    carry_out(Evaluation, pk, lambda job: execute(job, EvaluationWork(job, listener=listener), timings=timings))


def execute_next_evaluation(*, timings: Timings = TIMINGS) -> None:
    """Carry out the evaluation whose turn it is, unless something else uses all of this machine's cores."""
    with hold_place(INFERENCE_PLACE) as is_free:
        if not is_free or not _carry_out_next(
            Evaluation, lambda job: execute(job, EvaluationWork(job, listener=ignore_event), timings=timings)
        ):
            return
    ring_for_queue(QueueName.INFERENCE)


def _carry_out_next(model: type[_JobT], work: Callable[[_JobT], None]) -> bool:
    """Do the work of the first of a kind of jobs that is to be had; returns whether there was one."""
    pks = model.objects.claimable().in_turn().values_list("pk", flat=True)[:_CANDIDATES]
    return any(carry_out(model, pk, work) for pk in pks)


def _train(devices: HeldDevices, *, listener: Listener, timings: Timings) -> Callable[[TrainingRun], None]:
    """Return what to do with a claimed run."""

    def work(run: TrainingRun) -> None:
        execute(run, RunWork(run, listener=listener), environment=devices.environment, timings=timings)

    return work


def carry_out(model: type[_JobT], pk: int, work: Callable[[_JobT], None]) -> bool:
    """Claim a job and do its work, unless it is not to be had, or this worker shuts down and leaves it to another.

    Returns:
        Whether it was claimed.
    """
    if worker_stopping.is_set():
        return False
    job = model.claim(pk, worker=name_process())
    if job is not None:
        with bind_job(job):
            work(job)
    return job is not None


def ring_for_queue(queue: QueueName) -> None:
    """Wake a worker for the next job of each kind that waits in a queue: the place that they share is free again."""
    for model in job_models():
        if model.queue == queue:
            ring_for_next(model)


def ring_for_next(model: type[Job]) -> None:
    """Wake a worker for the job whose turn it is now: what has just ended may be what it waited for."""
    first = model.objects.claimable().in_turn().values_list("pk", flat=True).first()
    if first is not None:
        ring(model.task, first)


def execute(job: Job, work: Work, *, environment: Mapping[str, str] = MappingProxyType({}), timings: Timings) -> None:
    """Run the engine for a claimed job and bring the job to the state that the engine's end calls for."""
    logger.info("%s starts, attempt %d", job, job.attempts)
    status: JobStatus | None = None
    try:
        status = _settle(job, work, _run_engine(job, work, environment=environment, timings=timings), timings=timings)
        logger.info("%s is now %s", job, status)
    except FenceLostError:
        logger.warning("%s was taken from this worker, which writes nothing more about it", job)
    finally:
        work.clean_up(status)


def _run_engine(job: Job, work: Work, *, environment: Mapping[str, str], timings: Timings) -> Outcome:
    try:
        outcome = supervise(job, work.prepare(), sink=work.recorder, environment=environment, timings=timings)
        work.recorder.settle()
    except OSError as error:
        return describe_os_error(error)
    return outcome


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
            outcome = describe_os_error(error, log_tail=outcome.log_tail)
        else:
            return JobStatus.SUCCEEDED
    write_until_lease_ends(partial(_end_without_result, job, outcome), timings=timings)
    job.refresh_from_db(fields=["status"])
    return JobStatus(job.status)


def _end_without_result(job: Job, outcome: Outcome) -> None:
    with transaction.atomic():
        job.record(log_tail=outcome.log_tail)  # first: the row is ours until the end of the transaction
        job.refresh_from_db(fields=["cancel_requested"])
        if outcome.ending is Ending.FAILED:
            job.fail(reason=outcome.reason, detail=outcome.detail)
        elif outcome.ending is Ending.CANCELLED or job.cancel_requested:
            job.cancel()
        elif outcome.ending is Ending.RELEASED:
            job.release()
        else:
            job.lose(reason=outcome.reason, detail=outcome.detail)


def describe_os_error(error: OSError, *, log_tail: str = "") -> Outcome:
    """Turn a file that cannot be written, or a process that cannot be started, into a failure."""
    logger.warning("A job fails", exc_info=error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason, detail = Reason.DISK_FULL, "The disk is full."
    else:
        reason, detail = Reason.ERROR, f"The worker could not do its part: {error.strerror or type(error).__name__}."
    return Outcome(ending=Ending.FAILED, log_tail=log_tail, reason=reason, detail=detail)

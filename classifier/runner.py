"""The worker's side of batches: claim a row, answer its pictures here, bring it to the state that its end calls for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.utils import translation

from classifier.archives import ArchiveRejected
from classifier.batches.keeper import Keeper, StopAskedError
from classifier.batches.work import BatchWork, ModelGoneError, find_champion
from classifier.inference import ModelNotReady
from classifier.models import BatchJob
from classifier.querysets import BatchJobQuerySet
from training.choices import QueueName, Reason
from training.devices import INFERENCE_PLACE, hold_place
from training.exceptions import FenceLostError
from training.runner import carry_out, describe_os_error, ring_for_queue
from training.stopping import StopSignals
from training.supervisor import TIMINGS, Timings

# Of so many batches the first that is to be had is taken: others may be claimed by somebody else at the same moment.
_CANDIDATES: Final = 10

logger = logging.getLogger(__name__)


def execute_batch(pk: int, *, timings: Timings = TIMINGS) -> None:
    """Carry out batch `pk` if it still waits for somebody; a message that came twice changes nothing.

    Args:
        pk: The batch.
        timings: How often to look after the lease.
    """
    if _takeable().filter(pk=pk).exists():
        carry_out(BatchJob, pk, _work(timings))


def execute_next_batch(*, timings: Timings = TIMINGS) -> None:
    """Carry out the batch whose turn it is, whichever it was that somebody rang for.

    One at a time on a machine, evaluations included: it uses every core, and the worker's other process is there for
    what is short. Whoever is at one rings for the next.
    """
    with hold_place(INFERENCE_PLACE) as is_free:
        if not is_free:
            return
        pks = _takeable().in_turn().values_list("pk", flat=True)[:_CANDIDATES]
        if not any(carry_out(BatchJob, pk, _work(timings)) for pk in pks):
            return
    ring_for_queue(QueueName.INFERENCE)


def _takeable() -> BatchJobQuerySet:
    """Return the batches that could begin now: those without a model wait until one is ready."""
    waiting: BatchJobQuerySet = BatchJob.objects.claimable()
    if not waiting.filter(model_version=None).exists():
        return waiting
    try:
        find_champion()
    except ModelNotReady as error:
        logger.warning("New batches wait: %s", error)
        return waiting.exclude(model_version=None)
    return waiting


def _work(timings: Timings) -> Callable[[BatchJob], None]:
    def work(job: BatchJob) -> None:
        with StopSignals() as stop_signals, translation.override("en"):  # what is stored is stored in English
            try:
                keeper = Keeper(job, stop_signals=stop_signals, timings=timings)
                _execute(job, BatchWork(job, keeper=keeper, timings=timings), keeper=keeper)
            except FenceLostError:
                logger.warning("%s was taken from this worker, which writes nothing more about it", job)

    return work


def _execute(job: BatchJob, work: BatchWork, *, keeper: Keeper) -> None:
    """Answer the pictures of a claimed batch.

    Raises:
        FenceLostError: it is no longer this worker's.
    """
    logger.info("%s goes on at entry %d, attempt %d", job, job.progress_done, job.attempts)
    try:
        work.carry_out()
    except StopAskedError as asked:
        keeper.write(job.cancel if asked.is_cancelled else job.release)
    except ModelNotReady:  # it was ready a moment ago; others wait as well
        keeper.write(job.release)
    except ModelGoneError as error:
        _fail(job, keeper, reason=Reason.BAD_PACKAGE, detail=str(error))
    except ArchiveRejected as error:
        _fail(job, keeper, reason=Reason.BAD_ARCHIVE, detail=str(error.detail))
    except FileNotFoundError:
        _fail(job, keeper, reason=Reason.BAD_ARCHIVE, detail="The archive is not there any more. Send it again.")
    except OSError as error:
        outcome = describe_os_error(error)
        _fail(job, keeper, reason=outcome.reason, detail=outcome.detail)
    else:
        logger.info("%s is now %s", job, BatchJob.objects.values_list("status", flat=True).get(pk=job.pk))


def _fail(job: BatchJob, keeper: Keeper, *, reason: Reason, detail: str) -> None:
    logger.warning("%s fails: %s", job, detail)
    keeper.write(lambda: job.fail(reason=reason, detail=detail))

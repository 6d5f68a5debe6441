"""One claimed batch: its model, its archive, and the rows that come of them."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from classifier.archives import Survey, read_entries, survey_archive
from classifier.batches.engine import EngineWork, hold_engine
from classifier.batches.keeper import Keeper
from classifier.batches.metrics import measure_batch
from classifier.batches.pipeline import CORES, Pipeline
from classifier.batches.rows import RowWriter
from classifier.inference import ModelNotReady, champion_slot, load_predictor, predictor
from classifier.models import BatchJob
from training.publishing import do_beside_lease, insist
from training.runner import execute
from training.store import fetch
from training.supervisor import Timings

if TYPE_CHECKING:
    from classifier.inference import Predictor

ROWS: Final = 512
"""Answers of one transaction, when they come quickly."""

_WRITE_SECONDS: Final = 1.0  # between two transactions, when they do not

logger = logging.getLogger(__name__)


class ModelGoneError(Exception):
    """The model with which a batch began cannot be loaded any more; the message is a sentence for its owner."""


def find_champion() -> Predictor:
    """Return the model that answers now; nobody waits here, so that a swap under way is waited for.

    Raises:
        ModelNotReady: there is none.
    """
    predictor()
    champion_slot.settle()
    return predictor()


class BatchWork:
    """Answers what is left of a batch.

    Args:
        job: The claimed batch.
        keeper: Keeps it ours.
        timings: The patience of an engine's supervisor.
    """

    def __init__(self, job: BatchJob, *, keeper: Keeper, timings: Timings) -> None:
        self._job = job
        self._keeper = keeper
        self._timings = timings

    def carry_out(self) -> None:
        """Answer every entry that has no answer yet, measure, and let the batch succeed.

        Raises:
            ArchiveRejected: the archive cannot be read (any further).
            ModelGoneError: the batch's model is not there any more.
            ModelNotReady: it has none yet, and none is ready.
            OSError: the archive is not there.
            StopAskedError: it is to end; what was answered is written.
            FenceLostError: it is no longer ours.
        """
        model = self._find_model()
        path = do_beside_lease(self._job, lambda: insist(partial(fetch, self._job.archive)))
        survey = survey_archive(path, on_entry=self._keeper.look)
        self._note_beginning(model, survey)
        with hold_engine() as environment:
            if environment is not None:
                package = Path(model.package.path)
                work = EngineWork(self._job, archive=path, package=package, survey=survey)
                execute(self._job, work, environment=environment, timings=self._timings)
                return
        self._answer(path, model, survey)
        metrics = measure_batch(self._job, on_page=self._keeper.look)
        self._keeper.write(lambda: self._job.succeed(metrics=metrics))

    def _answer(self, path: Path, model: Predictor, survey: Survey) -> None:
        keys = model.package.class_keys
        writer = RowWriter(self._job, total=survey.pictures or 0, labels=survey.labels, class_keys=keys)
        entries = read_entries(path, skip=writer.done, on_entry=self._keeper.look)
        try:
            for answers in Pipeline(model).answer(entries):
                for answer in answers:
                    writer.add(answer)
                if len(writer) >= ROWS or time.monotonic() - writer.written_at > _WRITE_SECONDS:
                    self._keeper.write(writer.write)
        finally:
            self._keeper.write(writer.write)

    def _find_model(self) -> Predictor:
        """Return the model of an earlier claim, or the champion.

        Raises:
            ModelGoneError: that model cannot be loaded.
            ModelNotReady: no champion is ready.
        """
        version = self._job.model_version
        if version is None:
            return find_champion()
        try:
            model = load_predictor(version, processes=CORES)
        except ModelNotReady as error:
            logger.error("%s: %s", self._job, error)
            message = (
                f"Model {version}, with which this batch began, cannot be loaded: its package is damaged or gone. "
                "Resume the batch when it is back, or send the pictures again for the present model."
            )
            raise ModelGoneError(message) from error
        if model.package.sha256 != self._job.model_sha256:
            message = f"Model {version} is not the one with which this batch began. Send the pictures again."
            raise ModelGoneError(message)
        return model

    def _note_beginning(self, model: Predictor, survey: Survey) -> None:
        job = self._job
        job.model_version, job.model_sha256 = model.version, model.package.sha256
        done, total, sha256 = job.progress_done, survey.pictures or 0, model.package.sha256
        self._keeper.write(
            lambda: job.record_progress(done=done, total=total, model_version=model.version, model_sha256=sha256)
        )

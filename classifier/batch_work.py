"""One claimed batch: its model, its archive, and the rows that come of them."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import transaction

from classifier.archives import Entry, Survey, read_entries, survey_archive
from classifier.batch_keeper import Keeper
from classifier.batch_metrics import measure_batch
from classifier.batch_pipeline import CORES, Answered, Pipeline
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady, champion_slot, load_predictor, predictor
from classifier.labels import find_expected
from classifier.models import BatchItem, BatchJob
from training.publishing import do_beside_lease, insist
from training.store import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.inference import Predictor

ROWS: Final = 512
"""Answers of one transaction, when they come quickly."""

_WRITE_SECONDS: Final = 1.0  # between two transactions, when they do not
_LONGEST_DETAIL: Final = 255

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
    """

    def __init__(self, job: BatchJob, *, keeper: Keeper) -> None:
        self._job = job
        self._keeper = keeper
        self._pending: list[BatchItem] = []
        self._done = job.progress_done
        self._errors, self._labelled = job.error_count, job.labelled_count
        self._total = job.progress_total
        self._began_with = self._done
        self._began_at = self._written_at = time.monotonic()

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
        self._began_at = self._written_at = time.monotonic()
        try:
            for answers in Pipeline(model).answer(self._entries(path)):
                self._pending.extend(self._to_row(answer, survey=survey, model=model) for answer in answers)
                if len(self._pending) >= ROWS or time.monotonic() - self._written_at > _WRITE_SECONDS:
                    self._write()
        finally:
            if self._pending:
                self._write()
        metrics = measure_batch(self._job, on_page=self._keeper.look)
        self._keeper.write(lambda: self._job.succeed(metrics=metrics))

    def _entries(self, path: Path) -> Iterator[Entry]:
        return read_entries(path, skip=self._done, on_entry=self._keeper.look)

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
        self._total = survey.pictures or 0
        fields = {"model_version": model.version, "model_sha256": model.package.sha256}
        self._keeper.write(lambda: job.record_progress(done=self._done, total=self._total, **fields))

    def _to_row(self, answer: Answered, *, survey: Survey, model: Predictor) -> BatchItem:
        keys = model.package.class_keys
        item = BatchItem(
            batch=self._job,
            index=answer.index,
            name=answer.name,
            expected_key=find_expected(answer.name, labels=survey.labels, class_keys=keys),
        )
        if answer.refusal is not None:
            item.error_code, item.error_detail = _describe(answer.refusal)
            return item
        item.class_id = answer.class_id
        item.class_key = keys[answer.class_id]
        item.probabilities = list(answer.probabilities)
        item.confidence = answer.probabilities[answer.class_id]
        item.out_of_distribution = answer.out_of_distribution
        return item

    def _write(self) -> None:
        """Write the answers that wait and how far the batch is, behind the fence, as one transaction."""
        rows = self._pending
        done = self._done + len(rows)
        errors = self._errors + sum(bool(row.error_code) for row in rows)
        labelled = self._labelled + sum(bool(row.expected_key) for row in rows)
        rate = (done - self._began_with) / max(1e-3, time.monotonic() - self._began_at)

        def write() -> None:
            with transaction.atomic():
                self._job.record_progress(  # first: the row is ours until the end of the transaction
                    done=done,
                    total=max(done, self._total),
                    error_count=errors,
                    labelled_count=labelled,
                    items_per_second=rate,
                    attempts=0,  # progress: the next loss of a worker counts from one again
                )
                BatchItem.objects.bulk_create(rows)

        self._keeper.write(write)
        self._pending = []
        self._done, self._errors, self._labelled = done, errors, labelled
        self._written_at = time.monotonic()


def _describe(refusal: ImageRejected) -> tuple[str, str]:
    return refusal.code, str(refusal.detail)[:_LONGEST_DETAIL]

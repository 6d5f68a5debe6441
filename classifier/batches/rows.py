"""Answers on their way into the database: gathered in memory, written some at a time, behind the fence."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import transaction

from classifier.batches.pipeline import Answered
from classifier.labels import Labels, find_expected
from classifier.models import BatchItem, BatchJob

_LONGEST_DETAIL = 255


class RowWriter:
    """Writes the answers of one claim, in the order of the archive.

    Args:
        job: The claimed batch.
        total: How many entries it has.
        labels: What the archive's lists of labels say.
        class_keys: The model's classes in its order.
    """

    def __init__(self, job: BatchJob, *, total: int, labels: Labels, class_keys: Sequence[str]) -> None:
        self._job = job
        self._total = total
        self._labels = labels
        self._class_keys = class_keys
        self._pending: list[BatchItem] = []
        self.done = job.progress_done
        self._errors, self._labelled = job.error_count, job.labelled_count
        self._began_with = self.done
        self._began_at = self.written_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, answer: Answered) -> None:
        """Take in an answer, in memory.

        Raises:
            ValueError: it is not the next one's.
        """
        expected = self.done + len(self._pending)
        if answer.index != expected:
            message = f"Answer {answer.index} came where {expected} is the next."
            raise ValueError(message)
        self._pending.append(self._to_row(answer))

    def write(self) -> None:
        """Write what was taken in and how far the batch is, as one transaction. May be repeated when it fails.

        Raises:
            FenceLostError: the batch is no longer this worker's.
        """
        rows = self._pending
        if not rows:
            return
        done = self.done + len(rows)
        errors = self._errors + sum(bool(row.error_code) for row in rows)
        labelled = self._labelled + sum(bool(row.expected_key) for row in rows)
        rate = (done - self._began_with) / max(1e-3, time.monotonic() - self._began_at)
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
        self._pending = []
        self.done, self._errors, self._labelled = done, errors, labelled
        self.written_at = time.monotonic()

    def _to_row(self, answer: Answered) -> BatchItem:
        item = BatchItem(
            batch=self._job,
            index=answer.index,
            name=answer.name,
            expected_key=find_expected(answer.name, labels=self._labels, class_keys=self._class_keys),
        )
        if answer.refusal is not None:
            item.error_code, item.error_detail = answer.refusal.code, str(answer.refusal.detail)[:_LONGEST_DETAIL]
            return item
        item.class_id = answer.class_id
        item.class_key = self._class_keys[answer.class_id]
        item.probabilities = list(answer.probabilities)
        item.confidence = answer.probabilities[answer.class_id]
        item.out_of_distribution = answer.out_of_distribution
        return item

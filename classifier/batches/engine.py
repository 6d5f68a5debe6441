"""A batch that the engine's own process answers, on a graphics card: its command line, its answers, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import translation

from classifier.archives import Survey, archive_limits
from classifier.batches.metrics import measure_batch
from classifier.batches.pipeline import Answered
from classifier.batches.rows import RowWriter
from classifier.images import refusal_of
from classifier.models import BatchJob
from training.choices import JobStatus, Reason
from training.devices import hold_devices, list_gpus
from training.engine.events import Event, FinishedEvent
from training.processes import engine_command
from training.recording import JobRecorder
from training.work import UnusableResultError, Work

AUTO, OPENVINO, TORCH = "auto", "openvino", "torch"


def wants_engine() -> bool:
    """Whether the engine shall answer batches here: where it was chosen, or there is a card and what drives it."""
    chosen = settings.BATCH_ENGINE
    return chosen == TORCH or (chosen == AUTO and bool(list_gpus()) and find_spec("torch") is not None)


@contextmanager
def hold_engine() -> Iterator[Mapping[str, str] | None]:
    """Hold what the engine needs to answer a batch.

    Yields:
        Its variables; None where OpenVINO shall answer: by choice, without a card, or because runs hold all cards.
    """
    if settings.BATCH_ENGINE == TORCH and not list_gpus():
        yield {}
    elif not wants_engine():
        yield None
    else:
        with hold_devices(1) as devices:
            yield None if devices is None else devices.environment


class AnswerRecorder(JobRecorder):
    """Stores the answers that the engine tells.

    Args:
        job: The claimed batch.
        writer: Writes them.
    """

    def __init__(self, job: BatchJob, *, writer: RowWriter) -> None:
        super().__init__(job)
        self._writer = writer

    def receive(self, event: Event) -> None:
        """Take in one event, in memory."""
        if event["event"] == "answers":
            for answer in event["answers"]:
                self._writer.add(_read_answer(answer))

    def flush(self) -> None:
        """Write what came in since the last time, in one transaction.

        Raises:
            FenceLostError: the batch is no longer this worker's.
        """
        self._writer.write()


class EngineWork(Work):
    """What is left of a claimed batch, for the engine to answer.

    Args:
        job: The claimed batch, whose model was noted.
        archive: Where its archive lies on this machine.
        package: Where its model's package lies.
        survey: What is in the archive.
    """

    def __init__(self, job: BatchJob, *, archive: Path, package: Path, survey: Survey) -> None:
        self._job = job
        self._archive = archive
        self._package = package
        self._total = survey.pictures or 0
        self._writer = RowWriter(job, total=self._total, labels=survey.labels, class_keys=job.class_keys)
        self.recorder: AnswerRecorder = AnswerRecorder(job, writer=self._writer)

    def prepare(self) -> list[str]:
        """Return the engine's command line; it writes no files."""
        limits = archive_limits()
        return engine_command(
            "predict",
            f"--package={self._package}",
            f"--archive={self._archive}",
            f"--skip={self._writer.done}",
            f"--max-entries={limits.max_entries}",
            f"--max-total-bytes={limits.max_total_bytes}",
            f"--max-entry-bytes={limits.max_entry_bytes}",
            f"--max-image-bytes={settings.IMAGE_MAX_BYTES}",
            f"--max-image-pixels={settings.IMAGE_MAX_PIXELS}",
        )

    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Measure what has a label; the write ends the batch."""
        if self._writer.done != self._total:
            detail = "The engine did not answer every picture."
            raise UnusableResultError(detail, reason=Reason.ERROR)
        metrics = measure_batch(self._job, on_page=self._job.renew_lease)

        def write() -> None:
            self._job.succeed(metrics=metrics, log_tail=log_tail)

        return write

    def clean_up(self, status: JobStatus | None) -> None:
        """Leave everything: there are no files."""


def _read_answer(answer: dict[str, Any]) -> Answered:
    index, name = int(answer["index"]), str(answer["name"])
    if "error" in answer:
        with translation.override("en"):  # what is stored is stored in English
            return Answered(index, name, refusal=refusal_of(str(answer["error"])))
    shares = tuple(float(share) for share in answer["probabilities"])
    return Answered(index, name, None, int(answer["class_id"]), shares, bool(answer["out_of_distribution"]))

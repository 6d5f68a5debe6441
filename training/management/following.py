"""Watching a job from the command line: a line that moves on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, TextIO

from django.core.management.base import CommandError, OutputWrapper

from training.choices import JobStatus
from training.devices import count_devices, fits_this_machine
from training.engine.events import Event
from training.jobs import Job
from training.models import EpochMetric, TrainingRun
from training.services import WaitsFor, describe_waiting, has_worker

POLL_SECONDS: Final = 0.5
INTERRUPTED: Final = 130  # what a shell reports after Ctrl-C
_BAR_WIDTH: Final = 30
_NO_WORKER: Final = (
    "No {queue} worker is running, so this waits. Start one with `make up` or, in another terminal, with\n"
    "    celery -A cifarsite worker -Q {queue} --concurrency 1 -n {queue}@%h\n"
    "or stop here with Ctrl-C and use --here to do the work in this process."
)


class Display:
    """Progress on a stream.

    Args:
        stream: Where to write; a bar is drawn when it is a terminal.
        epochs_by_phase: How many epochs there will be, as `TrainingRun.epochs_by_phase` has it; None for work without
            any.
    """

    def __init__(self, stream: TextIO | OutputWrapper, *, epochs_by_phase: Mapping[int, int] | None = None) -> None:
        self._stream = stream
        self._epochs = epochs_by_phase or {}
        self._is_terminal = stream.isatty()
        self._has_bar = False
        self._tenths = 0

    def show_line(self, text: str) -> None:
        """Write a line that stays."""
        self._erase()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def show_epoch(self, *, phase: int, epoch: int, loss: float | None, accuracy: float | None, seconds: float) -> None:
        """Write what an epoch measured: training loss, validation accuracy or, without one, training accuracy."""
        place = f"epoch {epoch}/{self._epochs[phase]}"
        figures = [f"phase {phase}, {place}" if phase else place]
        if loss is not None:
            figures.append(f"loss {loss:.4f}")
        if accuracy is not None:
            figures.append(f"accuracy {accuracy:.2%}")
        self.show_line("  ".join([*figures, f"{seconds:.1f} s"]))

    def show_progress(self, *, done: int, total: int, message: str) -> None:
        """Move the bar, or in a pipe write a line every ten per cent; epochs have lines of their own there."""
        percent = 100 * min(done, total) // total if total else 0
        if not self._is_terminal:
            if not self._epochs and percent // 10 > self._tenths:
                self.show_line(f"{percent:3d} %  {message}")
                self._tenths = percent // 10
            return
        filled = _BAR_WIDTH * percent // 100
        self._erase()
        self._stream.write(f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {percent:3d} %  {message[:60]}")
        self._stream.flush()
        self._has_bar = True

    def show_event(self, event: Event) -> None:
        """Write what an engine's event tells."""
        if event["event"] == "epoch_end":
            accuracy = event["train_accuracy"] if event["validation_accuracy"] is None else event["validation_accuracy"]
            self.show_epoch(
                phase=event["phase"],
                epoch=event["epoch"],
                loss=event["train_loss"],
                accuracy=accuracy,
                seconds=event["seconds"],
            )
        elif event["event"] == "progress":
            self.show_progress(done=event["done"], total=event["total"], message=event["message"])

    def _erase(self) -> None:
        if self._has_bar:
            self._stream.write("\r\x1b[2K")
            self._has_bar = False


def follow(job: Job, *, display: Display) -> None:
    """Watch a job that a worker carries out, until it ends.

    Raises:
        SystemExit: Ctrl-C: the watching ends, the job does not.
    """
    seen = 0
    if job.status == JobStatus.QUEUED and not has_worker(job.queue):
        display.show_line(_NO_WORKER.format(queue=job.queue))
    try:
        while True:
            job.refresh_from_db()
            if isinstance(job, TrainingRun):
                seen = _show_new_epochs(job, display=display, seen=seen)
            if job.is_terminal:
                display.show_line(f"{job}: {job.get_status_display()}")
                return
            display.show_progress(
                done=job.progress_done, total=job.progress_total, message=job.progress_message or job.status
            )
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        display.show_line(f"{job} goes on without you; its page shows it.")
        raise SystemExit(INTERRUPTED) from None


def require_start(run: TrainingRun) -> None:
    """Say why a run that was to be carried out by this process has not begun.

    Raises:
        CommandError: it has not.
    """
    waiting = describe_waiting([run]).get(run.pk)
    if run.fence or waiting is None:
        return
    match waiting.waits_for:
        case WaitsFor.QUEUE:
            why = "the training queue is paused (`manage.py queue --unpause training`)"
        case WaitsFor.RUN:
            why = f"run {waiting.after}, which it is to follow, has not succeeded"
        case WaitsFor.OWNER:
            why = "its owner has as many runs at work as are allowed"
        case _ if not fits_this_machine(run.device_count):
            why = f"it trains on {run.device_count} devices at the same time, and this machine has {count_devices()}"
        case _:
            why = "all devices of this machine are in use by other runs"
    message = (
        f"{run} has not started: {why}. It is kept and waits for a worker; `manage.py runs --cancel {run.pk}` drops it."
    )
    raise CommandError(message)


def require_success(job: Job) -> None:
    """Turn a job that did not succeed into an exit code of 1 and its sentence.

    Raises:
        CommandError: it did not.
    """
    if job.status == JobStatus.QUEUED:
        message = f"{job} was interrupted and waits for a worker to go on with it."
        raise CommandError(message)
    if job.status != JobStatus.SUCCEEDED:
        raise CommandError(f"{job}: {job.get_status_display()}. {job.detail}".strip())


def _show_new_epochs(run: TrainingRun, *, display: Display, seen: int) -> int:
    """Show the epochs that ended after step `seen`; return the step at which the newest one did."""
    for row in EpochMetric.objects.filter(run=run, step__gt=seen):
        accuracy = row.train_accuracy if row.validation_accuracy is None else row.validation_accuracy
        display.show_epoch(
            phase=row.phase, epoch=row.epoch, loss=row.train_loss, accuracy=accuracy, seconds=row.seconds
        )
        seen = row.step
    return seen

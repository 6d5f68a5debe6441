"""Turning an engine's events into rows: gathered in memory as they come, written about once a second, behind the fence.

Every write starts with the job's own row, which must still be ours: what a worker that lost its job tries to write
is rolled back with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.db import transaction

from training.engine.events import CheckpointEvent, EpochEndEvent, Event, StartedEvent, StepEvent
from training.jobs import Job
from training.models import EpochMetric, TrainingRun
from training.publishing import CheckpointPublisher
from training.supervisor import write_until_lease_ends
from training.tracking import Follower

# At the end of an engine, for the last checkpoint to get into a remote store; without it, the way from the one before
# is gone once more.
LAST_UPLOAD_SECONDS: Final = 60.0

Listener = Callable[[Event], None]
_EPOCH_FIELDS = (
    "step",
    "images",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "f1_macro",
    "learning_rate",
    "seconds",
)


def ignore_event(_event: Event) -> None:
    """Listen to nothing."""


class JobRecorder:
    """Stores how far a job is. Serves imports as it is, and runs with what `RunRecorder` adds.

    Args:
        job: The claimed job.
        listener: Told about every event as well.
    """

    def __init__(self, job: Job, *, listener: Listener = ignore_event) -> None:
        self._job = job
        self._listener = listener
        self._done, self._total, self._message = job.progress_done, job.progress_total, job.progress_message
        self._fields: dict[str, object] = {}
        self._is_dirty = False

    def receive(self, event: Event) -> None:
        """Take in one event, in memory."""
        if event["event"] == "progress":
            self._done, self._total, self._message = int(event["done"]), int(event["total"]), str(event["message"])
        self._is_dirty = True
        self._listener(event)

    def flush(self) -> None:
        """Write what came in since the last time, in one transaction.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        if not self._is_dirty:
            return
        with transaction.atomic():
            self._job.record_progress(done=self._done, total=self._total, message=self._message, **self._fields)
            self._write_rows()
        self._forget()

    def settle(self) -> None:
        """Wait for what still is on its way to the store once the engine has ended.

        Raises:
            FenceLostError: the job is no longer this worker's.
            OSError: the store is full.
        """

    def _write_rows(self) -> None:
        """Write what belongs in other tables."""

    def _forget(self) -> None:
        """Drop what is safely in the database."""
        self._fields.clear()
        self._is_dirty = False


class RunRecorder(JobRecorder):
    """Stores a run's environment, epochs and checkpoints.

    Args:
        run: The claimed run.
        folder: Its working directory, relative to the artifacts root.
        follower: Told when there is something new for MLflow.
        listener: Told about every event as well.
    """

    def __init__(self, run: TrainingRun, *, folder: str, follower: Follower, listener: Listener = ignore_event) -> None:
        super().__init__(run, listener=listener)
        self._run = run
        self._folder = folder
        self._follower = follower
        self._has_news = False
        self._publisher = CheckpointPublisher(folder)
        self._farthest_step = run.checkpoint_step
        self._epochs: list[EpochEndEvent] = []
        self._resumed_from_step: int | None = None

    def receive(self, event: Event) -> None:
        """Take in one event, in memory."""
        match event["event"]:
            case "started":
                self._start(event)
            case "step":
                self._done = int(event["step"])
                self._message = self._describe_epoch(event)
            case "epoch_end":
                self._done = int(event["step"])
                self._epochs.append(event)
            case "checkpoint":
                self._publisher.submit(event)
            case "progress":  # evaluation and export have units of their own; the bar counts steps
                self._message = str(event["message"])
            case _:
                pass
        self._is_dirty = True
        self._listener(event)

    def flush(self) -> None:
        """Write what came in since the last time, in one transaction.

        Raises:
            FenceLostError: the job is no longer this worker's.
            OSError: the store takes no more checkpoints.
        """
        published = self._publisher.take()
        if published is not None:
            self._name_checkpoint(published)
        location = self._fields.get("checkpoint")
        super().flush()
        if location is not None:
            self._run.checkpoint = str(location)
            self._publisher.confirm(self._run.checkpoint)
        if self._has_news:
            self._has_news = False
            self._follower.wake()

    def settle(self) -> None:
        """Wait for the last checkpoint to be in the store, and name it.

        Raises:
            FenceLostError: the job is no longer this worker's.
            OSError: the store is full.
        """
        deadline = time.monotonic() + LAST_UPLOAD_SECONDS
        while self._publisher.wait(self._run, until=deadline):
            write_until_lease_ends(self.flush)

    def close(self) -> None:
        """Let go of the store."""
        self._publisher.close()

    def _start(self, event: StartedEvent) -> None:
        self._fields["environment"] = {key: value for key, value in event.items() if key != "event"}
        first_step = int(event["resumed_from_step"])
        # The second phase starts where the first one ended, whose epochs may still wait to be written.
        self._epochs = [epoch for epoch in self._epochs if epoch["step"] <= first_step]
        earlier = first_step if self._resumed_from_step is None else self._resumed_from_step
        self._resumed_from_step = min(first_step, earlier)
        self._done, self._total, self._message = first_step, int(event["total_steps"]), ""
        self._has_news = True

    def _describe_epoch(self, event: StepEvent) -> str:
        phase, epoch = int(event["phase"]), f"{event['epoch']}/{self._run.epochs_by_phase[event['phase']]}"
        return f"Phase {phase}, epoch {epoch}" if phase else f"Epoch {epoch}"

    def _name_checkpoint(self, event: CheckpointEvent) -> None:
        """Have the next write name a checkpoint that cannot be lost any more."""
        step = int(event["step"])
        if step > self._farthest_step:
            self._farthest_step = step
            self._fields["attempts"] = 0  # progress: the next loss of a worker counts from one again
        self._fields |= {
            "checkpoint": f"{self._folder}/{event['path']}",
            "checkpoint_sha256": event["sha256"],
            "checkpoint_step": step,
        }
        self._has_news = True  # the epochs before it are final
        self._is_dirty = True

    def _write_rows(self) -> None:
        if self._resumed_from_step is not None:
            self._run.drop_epochs_after(self._resumed_from_step)
        EpochMetric.objects.bulk_create(
            [
                EpochMetric(
                    run=self._run,
                    phase=event["phase"],
                    epoch=event["epoch"],
                    **{name: event[name] for name in _EPOCH_FIELDS},  # type: ignore[literal-required]
                )
                for event in self._epochs
                if event["train_loss"] is not None and event["train_accuracy"] is not None
            ],
            update_conflicts=True,
            unique_fields=["run", "phase", "epoch"],
            update_fields=_EPOCH_FIELDS,
        )

    def _forget(self) -> None:
        super()._forget()
        self._epochs.clear()
        self._resumed_from_step = None

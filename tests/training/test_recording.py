"""What the events of a run in two phases become."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import TrainingRunFactory, make_config, make_transfer_run
from training.choices import JobStatus
from training.engine.events import Event
from training.models import TrainingRun
from training.recording import RunRecorder
from training.tracking import Follower

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def run() -> TrainingRun:
    first = {"auxiliary_dataset": "photos", "auxiliary_epochs": 2, "auxiliary_learning_rate": 0.1}
    queued = TrainingRunFactory.create(config=make_config(**first))
    claimed = TrainingRun.claim(queued.pk, worker="here")
    assert claimed is not None
    return claimed


@pytest.fixture
def recorder(run: TrainingRun) -> RunRecorder:
    return RunRecorder(run, folder="runs/1/1", follower=Follower(pytest.fail, name=""))


def started(phase: int, *, at: int) -> Any:
    return {"event": "started", "phase": phase, "resumed_from_step": at, "total_steps": 40, "steps_per_epoch": 10}


def ended(phase: int, epoch: int, *, step: int) -> Any:
    figures = dict.fromkeys(("validation_loss", "validation_accuracy", "f1_macro"), 0.5)
    rest = {"images": 100, "train_loss": 1.0, "train_accuracy": 0.5, "learning_rate": 0.1, "seconds": 1.0}
    return {"event": "epoch_end", "phase": phase, "epoch": epoch, "step": step, **figures, **rest}


def rows(run: TrainingRun) -> list[tuple[Any, ...]]:
    return list(run.epochs.values_list("phase", "epoch", "step"))


BOTH = [(1, 1, 10), (1, 2, 20), (2, 1, 30), (2, 2, 40)]


@pytest.mark.parametrize("flush_often", [True, False])
def test_both_histories_are_kept(run: TrainingRun, recorder: RunRecorder, *, flush_often: bool) -> None:
    events: list[Event] = [started(1, at=0), ended(1, 1, step=10), ended(1, 2, step=20), started(2, at=20)]
    events += [ended(2, 1, step=30), ended(2, 2, step=40)]
    for event in events:
        recorder.receive(event)
        if flush_often:
            recorder.flush()
    recorder.flush()
    assert rows(run) == BOTH
    assert run.epochs.filter(f1_macro=0.5, images=100).count() == 4


def test_epochs_after_the_step_that_is_resumed_from_are_dropped_and_the_first_phase_stays() -> None:
    run = make_transfer_run(status=JobStatus.QUEUED)
    claimed = TrainingRun.claim(run.pk, worker="here")
    assert claimed is not None
    recorder = RunRecorder(claimed, folder="runs/1/2", follower=Follower(pytest.fail, name=""))
    recorder.receive(started(2, at=70))
    recorder.flush()
    assert rows(run) == [(1, 1, 30), (1, 2, 60), (2, 1, 70)]


def test_progress_names_the_phase(run: TrainingRun, recorder: RunRecorder) -> None:
    recorder.receive(started(2, at=20))
    recorder.receive({
        "event": "step", "phase": 2, "epoch": 1, "step": 25, "loss": 1.0, "learning_rate": 0.1,
        "images_per_second": 9.0,
    })  # fmt: skip
    recorder.flush()
    run.refresh_from_db()
    assert (run.progress_message, run.progress_done, run.progress_total) == ("Phase 2, epoch 1/2", 25, 40)

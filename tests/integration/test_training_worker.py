"""A real Celery worker, the real broker and the real engine: training to a promoted model, and every way to lose it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from classifier.inference import champion_slot, predictor
from tests.factories import ModelVersionFactory, TrainingRunFactory, make_config
from tests.fixtures import TINY_CONFIG, StartWorker, WorkerProcess
from training.choices import ImportSource, JobStatus, QueueName
from training.doorbell import EXECUTE_EVALUATION, EXECUTE_IMPORT, EXECUTE_RUN, MIRROR_CHAMPION, ring
from training.models import Dataset, DatasetImport, Evaluation, ModelVersion, Promotion, TrainingRun, Worker
from training.services import (
    cancel_run,
    has_worker,
    promote_version,
    request_evaluation,
    request_import,
    request_run,
)
from training.sights import read_map
from training.sweeper import sweep
from training.tracking.store import CHAMPION, MODEL, connect

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

LONG_CONFIG = {**TINY_CONFIG, "epochs": 1000, "batch_size": 10}
PATIENCE_SECONDS = 180.0  # for a machine that does much else


@pytest.fixture(autouse=True)
def _no_old_messages() -> None:
    """Empty the queues and forget who was rung for: rows of earlier tests had the same numbers."""
    cache.clear()
    with current_app.connection_for_read() as connection:
        for queue in ("training", "default"):
            connection.SimpleQueue(queue).clear()


@pytest.fixture
def dataset(tiny_dataset: Path) -> Dataset:
    dataset: Dataset = Dataset.objects.create(
        name="tiny", sha256="0" * 64, location=str(tiny_dataset), manifest={"class_keys": []}, synthetic=True,
        train_count=200, test_count=40,
    )  # fmt: skip
    return dataset


@pytest.fixture
def long_run(dataset: Dataset) -> TrainingRun:
    """A queued run that would take minutes, and saves a checkpoint every fraction of a second."""
    run: TrainingRun = TrainingRunFactory.create(dataset=dataset, config=make_config(**LONG_CONFIG))
    ring(EXECUTE_RUN, run.pk)
    return run


def wait_for(what: Callable[[], object], *, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, worker.read_log()
        time.sleep(0.05)


def wait_for_run(run: TrainingRun, *, worker: WorkerProcess, **fields: object) -> None:
    """Wait until a run's row matches, and take the row in."""
    wait_for(TrainingRun.objects.filter(pk=run.pk, **fields).exists, worker=worker)
    run.refresh_from_db()


def engines(worker: WorkerProcess) -> list[psutil.Process]:
    return [child for child in psutil.Process(worker.pid).children(recursive=True) if is_engine(child)]


def hold_engine(run: TrainingRun, *, worker: WorkerProcess) -> psutil.Process:
    """Stop a run's engine once its row names a checkpoint, and wait until that is one that is there."""
    wait_for_run(run, worker=worker, checkpoint_step__gt=0)
    [engine] = engines(worker)
    engine.suspend()

    def is_recorded() -> bool:
        run.refresh_from_db()
        return Path(settings.ARTIFACTS_ROOT, run.checkpoint).exists()

    wait_for(is_recorded, worker=worker)
    return engine


def is_engine(process: psutil.Process) -> bool:
    try:
        return "training.engine" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_from_no_data_to_a_promoted_model_that_answers(celery_worker_process: WorkerProcess) -> None:
    worker = celery_worker_process
    assert has_worker(QueueName.TRAINING)
    job = request_import(owner=None, name="demo", source=ImportSource.DEMO)
    for _delivery in range(8):
        ring(EXECUTE_IMPORT, job.pk)
    wait_for(DatasetImport.objects.filter(pk=job.pk, status=JobStatus.SUCCEEDED).exists, worker=worker)
    dataset = Dataset.objects.get()
    run = request_run(owner=None, dataset=dataset, recipe="fast", overrides={**TINY_CONFIG, "batch_size": 500})
    for _delivery in range(8):
        ring(EXECUTE_RUN, run.pk)
    wait_for_run(run, worker=worker, status=JobStatus.RUNNING)
    wait_for(lambda: engines(worker), worker=worker)
    assert_no_torch_outside_the_engine(worker)
    wait_for(TrainingRun.objects.exclude(status__in=[JobStatus.RUNNING, JobStatus.QUEUED]).exists, worker=worker)
    run.refresh_from_db()
    assert (run.status, run.detail) == (JobStatus.SUCCEEDED, "")  # although MLflow cannot be reached
    assert (run.fence, run.epochs.count(), run.environment["epochs"]) == (1, 1, 1)
    version = ModelVersion.objects.get()
    assert version.run == run
    promote_version(version=version, by=None)
    champion_slot.forget()
    scores = predictor().classify(np.zeros((2, 32, 32, 3), dtype=np.uint8))
    assert (scores.sha256, scores.version_id) == (version.package_sha256, version.pk)
    assert scores.probabilities.shape == (2, 10)
    evaluation = request_evaluation(owner=None, version=version, dataset=dataset)
    for _delivery in range(8):
        ring(EXECUTE_EVALUATION, evaluation.pk)
    wait_for(Evaluation.objects.filter(pk=evaluation.pk, status=JobStatus.SUCCEEDED).exists, worker=worker)
    evaluation.refresh_from_db()
    assert (evaluation.fence, evaluation.accuracy) == (1, version.test_accuracy)
    assert len(read_map(evaluation).points) == dataset.test_count
    assert worker.stop() == 0
    assert not Worker.objects.exists()


def test_the_champion_in_mlflow_follows_promotion_and_rollback(
    start_worker: StartWorker, mlflow_store: str, settings: Settings
) -> None:
    settings.MLFLOW_TRACKING_URI = mlflow_store
    worker = start_worker(queues="default", environment={"MLFLOW_TRACKING_URI": mlflow_store})
    [child] = psutil.Process(worker.pid).children()
    first, second = ModelVersionFactory.create_batch(2)
    client = connect(mlflow_store)
    for version in (first, second, first):
        promotion = promote_version(version=version, by=None)
        for _delivery in range(8):
            ring(MIRROR_CHAMPION, promotion.pk)
        wait_for(Promotion.objects.filter(pk=promotion.pk, is_mirrored=True).exists, worker=worker)
        champion = client.get_model_version_by_alias(MODEL, CHAMPION)
        assert champion.tags == {"package_sha256": version.package_sha256}
    assert not child.is_running()  # it had grown by MLflow, and gave its memory back


def assert_no_torch_outside_the_engine(worker: WorkerProcess) -> None:
    parent = psutil.Process(worker.pid)
    others = [process for process in (parent, *parent.children(recursive=True)) if not is_engine(process)]
    assert len(others) == 2  # the worker and its one child
    for process in others:
        assert "torch" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_cancel_while_running(long_run: TrainingRun, celery_worker_process: WorkerProcess) -> None:
    worker = celery_worker_process
    wait_for_run(long_run, worker=worker, checkpoint_step__gt=0)
    start = time.monotonic()
    cancel_run(run=long_run, by=None)
    wait_for_run(long_run, worker=worker, status=JobStatus.CANCELLED)
    assert time.monotonic() - start < 20
    assert engines(worker) == []
    assert long_run.epochs.exists()
    assert not ModelVersion.objects.exists()


def test_a_killed_engine_is_started_again_and_resumes(
    long_run: TrainingRun, celery_worker_process: WorkerProcess
) -> None:
    worker = celery_worker_process
    hold_engine(long_run, worker=worker).kill()
    wait_for_run(long_run, worker=worker, fence=2, environment__resumed_from_step__gt=0)
    assert long_run.status == JobStatus.RUNNING
    assert_curve_is_whole(long_run)
    cancel_run(run=long_run, by=None)
    wait_for_run(long_run, worker=worker, status=JobStatus.CANCELLED)


def test_a_worker_that_is_told_to_stop_hands_its_run_to_the_next(
    long_run: TrainingRun, start_worker: StartWorker
) -> None:
    first = start_worker()
    wait_for_run(long_run, worker=first, checkpoint_step__gt=0)
    attempts = long_run.attempts
    start = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - start < 25
    long_run.refresh_from_db()
    assert (long_run.status, long_run.attempts, long_run.fence) == (JobStatus.QUEUED, attempts, 1)
    saved = long_run.checkpoint_step
    second = start_worker()  # the message that the first one sent waits for it
    wait_for_run(long_run, worker=second, fence=2, environment__resumed_from_step=saved)
    wait_for_run(long_run, worker=second, checkpoint_step__gt=saved)
    assert_curve_is_whole(long_run)
    cancel_run(run=long_run, by=None)
    wait_for_run(long_run, worker=second, status=JobStatus.CANCELLED)


def test_a_killed_worker_takes_its_engine_along_and_the_sweeper_finds_another(
    long_run: TrainingRun, start_worker: StartWorker
) -> None:
    first = start_worker()
    engine = hold_engine(long_run, worker=first)
    os.kill(first.pid, signal.SIGKILL)
    engine.wait(timeout=10)
    long_run.refresh_from_db()
    assert long_run.status == JobStatus.RUNNING  # nobody was left to say otherwise
    second = start_worker()
    sweep()
    long_run.refresh_from_db()
    assert long_run.status == JobStatus.RUNNING  # the lease still runs
    TrainingRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep()
    wait_for_run(long_run, worker=second, fence=2, environment__resumed_from_step__gt=0)
    cancel_run(run=long_run, by=None)
    wait_for_run(long_run, worker=second, status=JobStatus.CANCELLED)


def assert_curve_is_whole(run: TrainingRun) -> None:
    epochs = list(run.epochs.values_list("epoch", flat=True))
    assert epochs == list(range(1, len(epochs) + 1))

"""A real worker and a real broker: the canary's whole way, the worker's report, and the log of a job as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import current_app
from celery.beat import Service
from django.core.cache import cache

from tests.factories import TrainingRunFactory, make_config
from tests.fixtures import TINY_CONFIG, StartWorker, WorkerProcess
from training.choices import JobStatus
from training.doorbell import EXECUTE_RUN, ring
from training.models import Canary, Dataset, TrainingRun, Worker
from training.schedule import CANARY_QUEUES
from training.services.watching import report_canaries, report_queues, report_workers

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

PATIENCE_SECONDS = 180.0  # for a machine that does much else


@pytest.fixture(autouse=True)
def _no_old_messages() -> None:
    cache.clear()
    with current_app.connection_for_read() as connection:
        for queue in ("training", "inference", "default", "deliveries"):
            connection.SimpleQueue(queue).clear()


def wait_for(what: Callable[[], object], *, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, worker.read_log()
        time.sleep(0.05)


def test_beats_canaries_come_through_both_queues(start_worker: StartWorker, tmp_path: Path) -> None:
    scheduler = Service(app=current_app, schedule_filename=str(tmp_path / "schedule")).get_scheduler()
    entries = [entry for name, entry in scheduler.schedule.items() if name.startswith("canary-")]
    for entry in entries:
        scheduler.apply_async(entry, advance=False)
    waiting = {queue.name: queue.messages for queue in report_queues()}
    assert waiting == {"training": 0, "inference": 1, "default": 1, "deliveries": 0}
    worker = start_worker(queues="inference,default")
    wait_for(lambda: Canary.objects.filter(ran_at__isnull=False).count() == len(CANARY_QUEUES), worker=worker)
    for report in report_canaries().values():
        assert report.age_seconds is not None
        assert report.round_trip_seconds is not None
        assert report.age_seconds < PATIENCE_SECONDS
        assert 0 < report.round_trip_seconds < PATIENCE_SECONDS
    scheduler.close()


def test_a_worker_is_shown_with_its_job_and_logs_it_as_json(start_worker: StartWorker, tiny_dataset: Path) -> None:
    dataset = Dataset.objects.create(
        name="tiny", sha256="0" * 64, location=str(tiny_dataset), manifest={"class_keys": []}, synthetic=True,
        train_count=200, test_count=40,
    )  # fmt: skip
    worker = start_worker(environment={"CIFARSITE_LOG_FORMAT": "json"})
    row = Worker.objects.get()
    assert 0 < (row.memory_used_bytes or 0) < (row.memory_total_bytes or 0)
    config = make_config(**{**TINY_CONFIG, "epochs": 1000, "batch_size": 10})
    run: TrainingRun = TrainingRunFactory.create(dataset=dataset, config=config)
    ring(EXECUTE_RUN, run.pk)
    wait_for(TrainingRun.objects.filter(pk=run.pk, status=JobStatus.RUNNING).exists, worker=worker)
    [report] = report_workers()
    assert [(job.kind, job.id) for job in report.jobs] == [("trainingrun", run.pk)]
    run.refresh_from_db()
    wait_for(lambda: f"Run {run.pk} starts" in worker.read_log(), worker=worker)
    TrainingRun.request_cancel(run.pk)
    wait_for(TrainingRun.objects.filter(pk=run.pk, status=JobStatus.CANCELLED).exists, worker=worker)
    assert worker.stop() == 0
    lines = [line for line in worker.log.read_text().splitlines() if line.startswith("{")]
    records = [json.loads(line) for line in lines]
    started = next(record for record in records if record["event"].startswith(f"Run {run.pk} starts"))
    context = {"job_kind": "trainingrun", "job_id": run.pk, "fence": 1, "attempt": 1, "worker": run.worker}
    assert {key: started.get(key) for key in context} == context
    assert run.worker.startswith(f"{worker.name}:")
    assert any(record["logger"].startswith("celery") for record in records)

"""A worker's row, and how its children learn that it stops."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from django.db.utils import OperationalError
from django.utils import timezone

from training import workers
from training.engine.machine_memory import Memory
from training.models import Worker
from training.stopping import worker_stopping

pytestmark = pytest.mark.django_db

GIB = 2**30
H200 = {"name": "NVIDIA H200", "used_bytes": 4 * 2**20, "total_bytes": 143771 * 2**20}
CONSUMER: Any = SimpleNamespace(
    hostname="training@here",
    controller=SimpleNamespace(concurrency=3),
    app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"training": 1, "default": 2}))),
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(workers, "read_gpus", lambda: [H200])
    monkeypatch.setattr(workers, "count_devices", lambda: 2)
    monkeypatch.setattr(workers, "read_machine_memory", lambda: Memory(free=3 * GIB, total=8 * GIB))
    monkeypatch.setattr(workers._Report, "name", "")
    yield
    worker_stopping.clear()


def test_a_worker_reports_its_queues_and_its_gpu() -> None:
    workers._report_start(sender=CONSUMER)
    row = Worker.objects.get()
    assert (row.name, row.host, row.queues) == ("training@here", socket.gethostname(), ["default", "training"])
    assert (row.concurrency, row.devices) == (3, 2)
    assert (row.gpu_name, row.gpus) == ("NVIDIA H200", [H200])
    assert (row.memory_used_bytes, row.memory_total_bytes) == (5 * GIB, 8 * GIB)
    assert timezone.now() - row.last_seen_at < timedelta(seconds=5)
    workers._report_start(sender=CONSUMER)
    assert Worker.objects.count() == 1


def test_it_reports_its_life_every_ten_seconds_and_not_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    workers._report_start(sender=CONSUMER)
    old = timezone.now() - timedelta(minutes=1)
    Worker.objects.update(last_seen_at=old)
    clock[0] += 9
    workers._report_life()
    assert Worker.objects.get().last_seen_at == old
    clock[0] += 2
    workers._report_life()
    assert Worker.objects.get().last_seen_at > old


def test_its_life_tells_how_much_memory_is_used_now(monkeypatch: pytest.MonkeyPatch) -> None:
    workers._report_start(sender=CONSUMER)
    monkeypatch.setattr(workers, "read_machine_memory", lambda: Memory(free=1 * GIB, total=8 * GIB))
    monkeypatch.setattr(workers, "read_gpus", lambda: [{**H200, "used_bytes": 70 * GIB}])
    monkeypatch.setattr(workers._Report, "next_due", 0.0)
    workers._report_life()
    row = Worker.objects.get()
    assert (row.memory_used_bytes, row.gpus[0]["used_bytes"]) == (7 * GIB, 70 * GIB)


def test_a_machine_that_does_not_tell_its_memory_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "read_machine_memory", lambda: None)
    workers._report_start(sender=CONSUMER)
    row = Worker.objects.get()
    assert (row.memory_used_bytes, row.memory_total_bytes) == (None, None)


def test_a_job_names_the_worker_and_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers._Report, "node", "")
    assert workers.name_process() == f"{socket.gethostname()}:{os.getpid()}"
    monkeypatch.setattr(workers._Report, "pid", 0)
    workers._remember_parent(sender=CONSUMER)
    assert workers.name_process() == f"training@here:{os.getpid()}"


def test_a_worker_that_was_forgotten_reports_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    workers._report_start(sender=CONSUMER)
    before = Worker.objects.get()
    Worker.objects.all().delete()  # as the sweeper does after a day's sleep of the machine
    monkeypatch.setattr(workers._Report, "next_due", 0.0)
    workers._report_life()
    after = Worker.objects.get()
    assert (after.name, after.queues, after.gpu_name) == (before.name, before.queues, before.gpu_name)
    assert after.started_at == before.started_at


def test_it_signs_off_for_itself_alone() -> None:
    now = timezone.now()
    Worker.objects.create(name="other", started_at=now, last_seen_at=now)
    workers._report_start(sender=CONSUMER)
    workers._report_end()
    assert [row.name for row in Worker.objects.all()] == ["other"]


def test_a_database_that_is_away_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(Worker.objects, "update_or_create", fail)
    workers._report_start(sender=CONSUMER)
    assert "could not report itself" in caplog.text


def test_shutting_down_raises_the_flag_that_supervisors_read() -> None:
    workers.connect_signals()
    signals.worker_shutting_down.send(sender="training@here", sig="SIGTERM", how="Warm", exitcode=0)
    assert worker_stopping.is_set()


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 'NVIDIA H200, 4, 143771'; echo", [H200]),
        (
            "echo 'NVIDIA H200, 4, 143771'; echo 'Odd, GPU, [N/A], [N/A]'",
            [H200, {"name": "Odd, GPU", "used_bytes": None, "total_bytes": None}],
        ),
        ("echo 'NVIDIA'", [{"name": "NVIDIA", "used_bytes": None, "total_bytes": None}]),
        ("echo broken >&2; exit 9", []),
    ],
)
def test_gpus_are_asked_of_the_driver(
    script: str, gpus: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert workers.read_gpus() == gpus


def test_a_machine_without_a_driver_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workers.read_gpus() == []

"""A worker's row, and how its children learn that it stops."""

from __future__ import annotations

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
from training.models import Worker
from training.stopping import worker_stopping

pytestmark = pytest.mark.django_db

CONSUMER: Any = SimpleNamespace(
    hostname="training@here",
    app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"training": 1, "default": 2}))),
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(workers, "name_gpu", lambda: "NVIDIA H200")
    monkeypatch.setattr(workers._Report, "name", "")
    yield
    worker_stopping.clear()


def test_a_worker_reports_its_queues_and_its_gpu() -> None:
    workers._report_start(sender=CONSUMER)
    row = Worker.objects.get()
    assert (row.name, row.queues, row.gpu_name) == ("training@here", ["default", "training"], "NVIDIA H200")
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
    ("script", "name"),
    [
        ("echo 'NVIDIA H200'; echo 'NVIDIA A100'", "NVIDIA H200"),
        ("echo broken >&2; exit 9", ""),
    ],
)
def test_the_gpus_name_is_asked_of_the_driver(
    script: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert workers.name_gpu() == name


def test_a_machine_without_a_driver_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workers.name_gpu() == ""

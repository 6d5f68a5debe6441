"""What supervision costs: beside the same training without it, for each submission, and on the database.

Django must be set up before this is imported.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

from django.conf import settings
from django.db import connection

from tests.fixtures import TINY_CONFIG
from training import run_work
from training.choices import JobStatus, Reason
from training.engine.events import EpochEndEvent
from training.models import Dataset, TrainingRun
from training.processes import engine_command
from training.recording import ignore_event
from training.run_work import RunWork
from training.runner import execute_run
from training.services import request_run

ROOT: Final = Path(__file__).resolve().parents[1]
SHORT_EPOCHS: Final = {**TINY_CONFIG, "epochs": 200}
"""A tenth of a second each, on the tiny dataset: more events and checkpoints in a second than any real training has."""
LONG_EPOCHS: Final = {**TINY_CONFIG, "epochs": 10, "width_multiplier": 0.25}
"""Several seconds each, on thousands of images."""


def measure_overhead(dataset: Dataset, *, training: dict[str, Any], folder: Path, rounds: int) -> dict[str, Any]:
    """Train the same run with and without a supervisor, in turns.

    Args:
        dataset: To train on.
        training: Options of the run.
        folder: For the runs without a supervisor.
        rounds: Of both.
    """
    plain, supervised, cpu = [], [], []
    configs: list[str] = []

    def remember(*arguments: str) -> list[str]:
        configs.append(Path(arguments[arguments.index("--config") + 1]).read_text())
        return engine_command(*arguments)

    with mock.patch.object(run_work, "engine_command", remember):
        for number in range(rounds):
            run = request_run(owner=None, dataset=dataset, recipe="fast", overrides=training, announce=False)
            used, began = _own_cpu_seconds(), time.perf_counter()
            execute_run(run.pk)
            supervised.append(time.perf_counter() - began)
            cpu.append(_own_cpu_seconds() - used)
            run.refresh_from_db()
            assert run.status == JobStatus.SUCCEEDED, run.detail
            plain.append(_train_alone(folder / str(number), configs[-1]))
    shares = [with_it / without - 1 for with_it, without in zip(supervised, plain, strict=True)]
    return {
        "rounds": rounds,
        "epochs": training["epochs"],
        "seconds_alone": [round(value, 2) for value in plain],
        "seconds_supervised": [round(value, 2) for value in supervised],
        "median_share_of_time": round(statistics.median(shares), 4),
        "supervisor_cpu_seconds_median": round(statistics.median(cpu), 3),
        "supervisor_cpu_share_of_time": round(statistics.median(cpu) / statistics.median(plain), 4),
    }


def _train_alone(folder: Path, config: str) -> float:
    """Train with nobody who watches; the events go to a file."""
    folder.mkdir(parents=True)
    path = folder / "config.json"
    path.write_text(config)
    command = engine_command("fit", "--config", str(path), "--workdir", str(folder), "--threads", "1")
    with (folder / "events").open("w") as events:
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=events, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


def measure_submissions(dataset: Dataset, *, count: int) -> dict[str, Any]:
    """Ask for runs, one after the other, each with a message to the broker."""
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        run = request_run(owner=None, dataset=dataset, recipe="fast", overrides={"seed": number})
        seconds.append(time.perf_counter() - began)
        assert run.bell is not None
        assert run.bell.was_heard
    TrainingRun.objects.filter(status=JobStatus.QUEUED).delete()
    return {
        "n": count,
        "per_second": round(count / sum(seconds), 1),
        "median_ms": round(1e3 * statistics.median(seconds), 2),
        "p99_ms": round(1e3 * sorted(seconds)[int(0.99 * count)], 2),
    }


def measure_heartbeat(dataset: Dataset, *, count: int) -> dict[str, Any]:
    """Time the writes of a supervisor, and count the queries of one that has a job."""
    run = _claim(dataset)
    recorder = RunWork(run, listener=ignore_event).recorder
    epoch = iter(range(1, 10 * count))

    def flush_an_epoch() -> None:
        number = next(epoch)
        recorder.receive(_epoch_event(number))
        recorder.flush()

    queries: Counter[str] = Counter()

    def count_query(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:  # noqa: ANN401 - Django's signature
        queries[current] += 1
        return execute(sql, *rest)

    calls = {"renew_lease": run.renew_lease, "is_cancel_requested": run.is_cancel_requested, "flush": flush_an_epoch}
    found: dict[str, Any] = {"n": count}
    with connection.execute_wrapper(count_query):
        for current, call in calls.items():
            seconds = [_time(call) for _call in range(count)]
            found[current] = {
                "median_ms": round(1e3 * statistics.median(seconds), 3),
                "p99_ms": round(1e3 * sorted(seconds)[int(0.99 * count)], 3),
                "queries": queries[current] / count,
            }
    run.fail(reason=Reason.ERROR, detail="")
    beats = 1 / settings.HEARTBEAT_SECONDS
    per_second = found["renew_lease"]["queries"] * beats + found["is_cancel_requested"]["queries"]
    busy = found["renew_lease"]["median_ms"] * beats + found["is_cancel_requested"]["median_ms"]
    return found | {
        "queries_per_second_of_a_job_between_epochs": round(per_second, 2),
        "queries_per_second_with_an_epoch_each_second": round(per_second + found["flush"]["queries"], 2),
        "database_ms_per_second_of_a_job": round(busy, 3),
        "database_ms_per_second_with_an_epoch_each_second": round(busy + found["flush"]["median_ms"], 3),
    }


def _claim(dataset: Dataset) -> TrainingRun:
    pk = request_run(owner=None, dataset=dataset, recipe="fast", overrides={}, announce=False).pk
    run = TrainingRun.claim(pk, worker="bench")
    assert run is not None
    return run


def _epoch_event(number: int) -> EpochEndEvent:
    return {
        "event": "epoch_end",
        "phase": 0,
        "epoch": number,
        "step": number,
        "images": 100,
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
        "f1_macro": 0.5,
        "learning_rate": 0.1,
        "seconds": 1.0,
    }


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _own_cpu_seconds() -> float:
    """Processor time of this process, without its children."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

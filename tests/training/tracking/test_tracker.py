"""A run's mirror in MLflow: complete when MLflow is there, without consequence when it is not."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fixtures import ROOT
from tests.tiny_model import build_package
from training.engine.events import EpochEndEvent
from training.engine.package import verify_package
from training.tracking import EXPERIMENT, MODEL, RunDescription, TrackedState, Tracker, tracker
from training.tracking.store import connect, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAMETERS = {"num_epochs": "2", "learning_rate": "0.1", "dataset": "shapes"}


def epoch_end(epoch: int, *, phase: int = 0) -> EpochEndEvent:
    return {
        "event": "epoch_end",
        "phase": phase,
        "epoch": epoch,
        "step": epoch * 10,
        "images": 100,
        "train_loss": 1.0 / epoch,
        "train_accuracy": 0.5,
        "validation_loss": None,
        "validation_accuracy": 0.4,
        "f1_macro": 0.3,
        "learning_rate": 0.1,
        "seconds": 1.5,
    }


MADE: list[Tracker] = []
NUMBERS = itertools.count()


def make_tracker(uri: str, *, run_id: str = "") -> Tracker:
    tags = {"cifarsite.run": "1", "number": str(next(NUMBERS))}
    made = Tracker(RunDescription(name="Run 1", parameters=PARAMETERS, tags=tags, run_id=run_id), uri=uri)
    MADE.append(made)
    return made


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Wait for the threads that a test gave up on; its servers are gone by now."""
    yield
    while MADE:
        MADE.pop().close(None, seconds=10)


@pytest.fixture
def silent_server(_no_thread_is_left: None) -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_run_is_mirrored(mlflow_store: str, tmp_path: Path) -> None:
    package = verify_package(build_package(tmp_path, temperature=1.5))
    mirror = make_tracker(mlflow_store)
    mirror.start()
    mirror.log_epoch(epoch_end(1))
    mirror.log_epoch(epoch_end(2))
    mirror.log_package(package)
    assert mirror.close(TrackedState.FINISHED, seconds=60)
    client = connect(mlflow_store)
    run = client.get_run(mirror.run_id)
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Run 1")
    assert run.data.params == PARAMETERS
    assert run.data.tags["cifarsite.run"] == "1"
    figures = {
        "train_loss": 0.5, "train_acc": 0.5, "val_acc": 0.4, "f1_macro": 0.3, "learning_rate": 0.1, "epoch_seconds": 1.5
    }  # fmt: skip
    assert {name: run.data.metrics[name] for name in figures} == figures
    history = client.get_metric_history(mirror.run_id, "train_loss")
    assert [(figure.step, figure.value) for figure in history] == [(1, 1.0), (2, 0.5)]
    assert run.data.metrics["top5_accuracy"] == package.metrics["top5_accuracy"]
    assert sorted(file.path for file in client.list_artifacts(mirror.run_id)) == ["config.json", "model"]
    number = find_version(client, package.sha256)
    assert client.get_model_version(MODEL, str(number)).run_id == mirror.run_id


def test_the_phases_of_a_transfer_run_are_told_apart(mlflow_store: str) -> None:
    mirror = make_tracker(mlflow_store)
    mirror.start()
    for phase, epoch in ((1, 1), (1, 2), (2, 1)):
        mirror.log_epoch(epoch_end(epoch, phase=phase))
    mirror.close(TrackedState.FINISHED, seconds=60)
    client = connect(mlflow_store)
    names = ("train_loss", "train_acc", "val_acc", "f1_macro", "learning_rate", "epoch_seconds")
    assert set(client.get_run(mirror.run_id).data.metrics) == {f"phase{n}_{name}" for n in (1, 2) for name in names}
    assert [figure.step for figure in client.get_metric_history(mirror.run_id, "phase1_train_loss")] == [1, 2]


def test_a_resumed_run_goes_on_where_it_was(mlflow_store: str) -> None:
    first = make_tracker(mlflow_store)
    first.start()
    first.log_epoch(epoch_end(1))
    assert first.close(TrackedState.SCHEDULED, seconds=60)
    assert connect(mlflow_store).get_run(first.run_id).info.status == "SCHEDULED"
    second = make_tracker(mlflow_store, run_id=first.run_id)
    assert not second.is_open
    second.start()
    second.log_epoch(epoch_end(2))
    second.close(TrackedState.FAILED, seconds=60)
    run = connect(mlflow_store).get_run(first.run_id)
    assert second.run_id == first.run_id
    assert run.info.status == "FAILED"
    assert len(connect(mlflow_store).get_metric_history(first.run_id, "train_loss")) == 2


def test_a_run_that_was_taken_away_is_left_as_it_is(mlflow_store: str) -> None:
    mirror = make_tracker(mlflow_store)
    mirror.start()
    assert mirror.close(None, seconds=60)
    assert mirror.is_open
    assert connect(mlflow_store).get_run(mirror.run_id).info.status == "RUNNING"


def test_a_run_that_the_store_forgot_is_made_anew(mlflow_store: str) -> None:
    mirror = make_tracker(mlflow_store, run_id="0" * 32)
    mirror.start()
    mirror.close(TrackedState.KILLED, seconds=60)
    assert mirror.run_id != "0" * 32
    assert connect(mlflow_store).get_run(mirror.run_id).info.status == "KILLED"


def test_a_refused_figure_does_not_hold_up_the_next(mlflow_store: str, caplog: pytest.LogCaptureFixture) -> None:
    mirror = make_tracker(mlflow_store)
    mirror.start()
    mirror._put(lambda client, run_id: client.log_param(run_id, "num_epochs", "3"))  # a parameter cannot change
    mirror.log_epoch(epoch_end(1))
    mirror.close(TrackedState.FINISHED, seconds=60)
    assert connect(mlflow_store).get_run(mirror.run_id).data.metrics["train_loss"] == 1.0
    assert "MLflow refuses a part of Run 1" in caplog.text


def test_nothing_is_tracked_without_an_address() -> None:
    mirror = make_tracker("")
    mirror.start()
    mirror.log_epoch(epoch_end(1))
    mirror.close(TrackedState.FINISHED)
    assert (mirror.run_id, mirror._thread, mirror._calls.qsize()) == ("", None, 0)


def test_a_server_that_is_down_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    import mlflow  # noqa: F401  # its first import takes seconds, which are not the server's

    start = time.monotonic()
    mirror = make_tracker("http://127.0.0.1:9")
    mirror.start()
    for epoch in range(1, 100):
        mirror.log_epoch(epoch_end(epoch))
    assert time.monotonic() - start < 1
    assert not mirror.close(TrackedState.FINISHED, seconds=10)
    assert time.monotonic() - start < 6
    assert not mirror.is_open
    assert "MLflow does not answer" in caplog.text


def test_a_server_that_hangs_is_waited_for_a_bounded_time(silent_server: str, caplog: pytest.LogCaptureFixture) -> None:
    mirror = make_tracker(silent_server)
    mirror.start()
    start = time.monotonic()
    mirror.log_epoch(epoch_end(1))
    assert time.monotonic() - start < 1
    assert not mirror.close(TrackedState.FINISHED, seconds=0.5)
    assert time.monotonic() - start < 5
    assert "MLflow is too slow for the end of Run 1" in caplog.text


def test_a_server_that_comes_back_gets_everything_once(mlflow_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "_RETRY_SECONDS", 0.01)
    failures = iter(range(3))

    def connect_at_last(uri: str) -> MlflowClient:
        if next(failures, None) is not None:
            raise ConnectionRefusedError
        return connect(uri)

    monkeypatch.setattr(tracker, "connect", connect_at_last)
    mirror = make_tracker(mlflow_store)
    mirror.start()
    mirror.log_epoch(epoch_end(1))
    mirror.log_epoch(epoch_end(2))
    while not mirror.run_id:
        time.sleep(0.01)
    mirror.close(TrackedState.FINISHED, seconds=60)
    assert len(connect(mlflow_store).get_metric_history(mirror.run_id, "train_loss")) == 2


def test_what_was_given_up_is_not_sent_later(mlflow_store: str, tmp_path: Path) -> None:
    package = verify_package(build_package(tmp_path, temperature=1.6))
    goes_on = threading.Event()
    mirror = make_tracker(mlflow_store)
    mirror.start()
    mirror._put(lambda _client, _run_id: goes_on.wait(60))
    mirror.log_package(package)
    assert not mirror.close(TrackedState.FINISHED, seconds=0.1)
    goes_on.set()
    assert not mirror.close(None, seconds=60)
    assert find_version(connect(mlflow_store), package.sha256) is None


def test_a_package_that_nothing_could_be_sent_of_is_given_up(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_client: MlflowClient, _run_id: str, **_options: object) -> None:
        raise ConnectionResetError("the files' server is away")

    monkeypatch.setattr(tracker, "publish_package", fail)
    mirror = make_tracker(mlflow_store)
    mirror.start()
    mirror.log_package(verify_package(build_package(tmp_path)))
    assert not mirror.close(TrackedState.FINISHED, seconds=60)
    assert "Run 1 is not tracked completely: the files' server is away" in caplog.text


def test_a_full_queue_drops_figures_and_says_so(
    silent_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracker, "QUEUE_LENGTH", 2)
    mirror = make_tracker(silent_server)
    mirror.start()
    for epoch in range(1, 10):
        mirror.log_epoch(epoch_end(epoch))
    assert "a figure of Run 1 is not tracked" in caplog.text
    mirror.close(None, seconds=0)


def test_without_mlflow_installed_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_uri: str) -> None:
        raise ModuleNotFoundError("No module named 'mlflow'")

    monkeypatch.setattr(tracker, "connect", fail)
    mirror = make_tracker("http://127.0.0.1:9")
    mirror.start()
    mirror.close(TrackedState.FINISHED, seconds=5)
    assert "MLflow is not installed" in caplog.text


def test_mlflow_is_told_not_to_phone_home() -> None:
    make_tracker("http://127.0.0.1:9").start()
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]) == ("true", "true")


def test_importing_what_workers_import_loads_neither_mlflow_nor_torch(tmp_path: Path) -> None:
    script = (
        "import django; django.setup(); import sys, training.tasks\n"
        "print([name for name in ('mlflow', 'torch', 'openvino') if name in sys.modules])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "cifarsite.settings", "CIFARSITE_VAR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""MLflow's mirror: complete when MLflow is there, without consequence when it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django import Settings

from tests.fixtures import ROOT
from training import tracking
from training.engine.events import EpochEndEvent
from training.tracking import EXPERIMENT, TrackedEnd, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAMETERS = {"epochs": 2, "learning_rate": 0.1, "dataset": "shapes"}
MANIFEST: dict[str, Any] = {
    "metrics": {"accuracy": 0.9, "f1_macro": 0.8, "per_class": [], "confusion_matrix": [[1]]},
    "config": {"epochs": 2},
}


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


def make_tracker(uri: str, *, run_id: str = "") -> Tracker:
    tracker = Tracker(name="Run 1", parameters=PARAMETERS, tags={"cifarsite.run": "1"}, run_id=run_id, uri=uri)
    MADE.append(tracker)
    return tracker


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Wait for the threads that a test gave up on; its servers are gone by now."""
    yield
    while MADE:
        MADE.pop().close(None, seconds=10)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store whose tables exist: making them takes seconds."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.sqlite3'}"
    tracker = make_tracker(uri)
    tracker.start()
    tracker.close(TrackedEnd.KILLED, seconds=120)
    return uri


@pytest.fixture
def silent_server(_no_thread_is_left: None) -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def client_of(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def test_a_run_is_mirrored(store: str) -> None:
    tracker = make_tracker(store)
    tracker.start()
    tracker.log_epoch(epoch_end(1))
    tracker.log_epoch(epoch_end(2))
    tracker.log_result(manifest=MANIFEST, wall_seconds=3.5)
    tracker.close(TrackedEnd.FINISHED, seconds=60)
    client = client_of(store)
    run = client.get_run(tracker.run_id)
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Run 1")
    assert run.data.params == {"epochs": "2", "learning_rate": "0.1", "dataset": "shapes"}
    assert run.data.tags["cifarsite.run"] == "1"
    assert run.data.metrics == {
        "train_loss": 0.5, "train_acc": 0.5, "val_acc": 0.4, "f1_macro": 0.3, "learning_rate": 0.1,
        "epoch_seconds": 1.5, "test_accuracy": 0.9, "test_f1_macro": 0.8, "wall_seconds": 3.5,
    }  # fmt: skip
    history = client.get_metric_history(tracker.run_id, "train_loss")
    assert [(figure.step, figure.value) for figure in history] == [(1, 1.0), (2, 0.5)]
    assert sorted(file.path for file in client.list_artifacts(tracker.run_id)) == ["config.json", "manifest.json"]


def test_the_phases_of_a_transfer_run_are_told_apart(store: str) -> None:
    tracker = make_tracker(store)
    tracker.start()
    for phase, epoch in ((1, 1), (1, 2), (2, 1)):
        tracker.log_epoch(epoch_end(epoch, phase=phase))
    tracker.close(TrackedEnd.FINISHED, seconds=60)
    client = client_of(store)
    names = ("train_loss", "train_acc", "val_acc", "f1_macro", "learning_rate", "epoch_seconds")
    assert set(client.get_run(tracker.run_id).data.metrics) == {f"phase{n}_{name}" for n in (1, 2) for name in names}
    assert [figure.step for figure in client.get_metric_history(tracker.run_id, "phase1_train_loss")] == [1, 2]


def test_a_resumed_run_goes_on_where_it_was(store: str) -> None:
    first = make_tracker(store)
    first.start()
    first.log_epoch(epoch_end(1))
    first.close(None, seconds=60)
    assert client_of(store).get_run(first.run_id).info.status == "RUNNING"
    second = make_tracker(store, run_id=first.run_id)
    second.start()
    second.log_epoch(epoch_end(2))
    second.close(TrackedEnd.FAILED, seconds=60)
    run = client_of(store).get_run(first.run_id)
    assert second.run_id == first.run_id
    assert run.info.status == "FAILED"
    assert len(client_of(store).get_metric_history(first.run_id, "train_loss")) == 2


def test_a_run_without_a_worker_is_ended_once(store: str, settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = store
    lost = make_tracker(store)
    lost.start()
    lost.close(None, seconds=60)
    ended_at = datetime(2026, 1, 2, tzinfo=UTC)
    tracking.end_run(lost.run_id, TrackedEnd.FAILED, ended_at=ended_at)
    tracking.end_run(lost.run_id, TrackedEnd.KILLED, ended_at=datetime(2027, 1, 2, tzinfo=UTC))
    info = client_of(store).get_run(lost.run_id).info
    assert (info.status, info.end_time) == ("FAILED", 1000 * ended_at.timestamp())
    tracking.end_run("0" * 32, TrackedEnd.FAILED, ended_at=ended_at)  # forgotten by the store: nothing to end


def test_the_end_of_a_run_is_repeated_while_mlflow_is_down(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    with pytest.raises(tracking.MlflowUnavailableError):
        tracking.end_run("0" * 32, TrackedEnd.FAILED, ended_at=datetime(2026, 1, 2, tzinfo=UTC))


def test_a_run_that_the_store_forgot_is_made_anew(store: str) -> None:
    tracker = make_tracker(store, run_id="0" * 32)
    tracker.start()
    tracker.close(TrackedEnd.KILLED, seconds=60)
    assert tracker.run_id != "0" * 32
    assert client_of(store).get_run(tracker.run_id).info.status == "KILLED"


def test_a_refused_figure_does_not_hold_up_the_next(store: str, caplog: pytest.LogCaptureFixture) -> None:
    tracker = make_tracker(store)
    tracker.start()
    tracker._put(lambda client, run_id: client.log_param(run_id, "epochs", "3"))  # a parameter cannot change
    tracker.log_epoch(epoch_end(1))
    tracker.close(TrackedEnd.FINISHED, seconds=60)
    assert client_of(store).get_run(tracker.run_id).data.metrics["train_loss"] == 1.0
    assert "MLflow refuses a figure of Run 1" in caplog.text


def test_nothing_is_tracked_without_an_address() -> None:
    tracker = make_tracker("")
    tracker.start()
    tracker.log_epoch(epoch_end(1))
    tracker.close(TrackedEnd.FINISHED)
    assert (tracker.run_id, tracker._thread, tracker._calls.qsize()) == ("", None, 0)


def test_a_server_that_is_down_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    import mlflow  # noqa: F401  # its first import takes seconds, which are not the server's

    start = time.monotonic()
    tracker = make_tracker("http://127.0.0.1:9")
    tracker.start()
    for epoch in range(1, 100):
        tracker.log_epoch(epoch_end(epoch))
    assert time.monotonic() - start < 1
    tracker.close(TrackedEnd.FINISHED, seconds=10)
    assert time.monotonic() - start < 6
    assert "MLflow does not answer" in caplog.text


def test_a_server_that_hangs_is_waited_for_a_bounded_time(silent_server: str, caplog: pytest.LogCaptureFixture) -> None:
    tracker = make_tracker(silent_server)
    tracker.start()
    start = time.monotonic()
    tracker.log_epoch(epoch_end(1))
    assert time.monotonic() - start < 1
    tracker.close(TrackedEnd.FINISHED, seconds=0.5)
    assert time.monotonic() - start < 5
    assert "MLflow is too slow for the end of Run 1" in caplog.text


def test_a_server_that_comes_back_gets_everything_once(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_RETRY_SECONDS", 0.01)
    connect = tracking._connect
    failures = iter(range(3))

    def connect_at_last(uri: str) -> MlflowClient:
        if next(failures, None) is not None:
            raise ConnectionRefusedError
        return connect(uri)

    monkeypatch.setattr(tracking, "_connect", connect_at_last)
    tracker = make_tracker(store)
    tracker.start()
    tracker.log_epoch(epoch_end(1))
    tracker.log_epoch(epoch_end(2))
    while not tracker.run_id:
        time.sleep(0.01)
    tracker.close(TrackedEnd.FINISHED, seconds=60)
    assert len(client_of(store).get_metric_history(tracker.run_id, "train_loss")) == 2


def test_a_full_queue_drops_figures_and_says_so(
    silent_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 2)
    tracker = make_tracker(silent_server)
    tracker.start()
    for epoch in range(1, 10):
        tracker.log_epoch(epoch_end(epoch))
    assert "a figure of Run 1 is not tracked" in caplog.text
    tracker.close(None, seconds=0)


def test_without_mlflow_installed_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_uri: str) -> None:
        raise ModuleNotFoundError("No module named 'mlflow'")

    monkeypatch.setattr(tracking, "_connect", fail)
    tracker = make_tracker("http://127.0.0.1:9")
    tracker.start()
    tracker.close(TrackedEnd.FINISHED, seconds=5)
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

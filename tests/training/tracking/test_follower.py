"""What tells MLflow of a run while it trains: woken, patient, and never in the run's way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db.utils import OperationalError
from pytest_django import Settings

from tests.fixtures import ROOT
from training.tracking import Follower, MlflowUnavailableError, follower


@pytest.fixture(autouse=True)
def _tracked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    monkeypatch.setattr(follower, "_RETRY_SECONDS", 0.01)


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_news_are_told_once_and_the_rest_at_the_end() -> None:
    told: list[int] = []
    follows = Follower(lambda: told.append(1), name="Run 1")
    follows.wake()
    wait_for(lambda: len(told) == 1)
    time.sleep(0.05)
    assert len(told) == 1
    follows.close()
    assert len(told) == 2


def test_news_that_come_while_it_tells_are_told_after_it() -> None:
    goes_on = threading.Event()
    told: list[int] = []

    def tell() -> None:
        told.append(1)
        goes_on.wait(10)

    follows = Follower(tell, name="Run 1")
    follows.wake()
    wait_for(lambda: told)
    for _epoch in range(100):
        follows.wake()
    goes_on.set()
    wait_for(lambda: len(told) == 2)
    follows.close()
    assert len(told) == 3


@pytest.mark.parametrize("error", [MlflowUnavailableError("away"), OperationalError("away")])
def test_it_is_patient_and_complains_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    troubles = iter([error] * 5)
    told: list[int] = []

    def tell() -> None:
        for trouble in troubles:
            raise trouble
        told.append(1)

    follows = Follower(tell, name="Run 1")
    follows.wake()
    wait_for(lambda: told)
    follows.close()
    assert caplog.messages == ["Run 1 goes on, and is told MLflow later: away"]


def test_at_the_end_it_tries_once_more_and_gives_up() -> None:
    tries: list[int] = []

    def tell() -> None:
        tries.append(1)
        raise MlflowUnavailableError

    follows = Follower(tell, name="Run 1")
    follows.wake()
    wait_for(lambda: tries)
    follows.close(seconds=10)
    count = len(tries)
    time.sleep(0.05)
    assert len(tries) == count
    assert not [thread for thread in threading.enumerate() if thread.name == "mlflow Run 1"]


def test_one_that_hangs_is_waited_for_a_bounded_time(caplog: pytest.LogCaptureFixture) -> None:
    goes_on = threading.Event()

    def hang() -> None:
        goes_on.wait(10)

    follows = Follower(hang, name="Run 1")
    start = time.monotonic()
    follows.wake()
    assert time.monotonic() - start < 0.5
    follows.close(seconds=0.1)
    assert time.monotonic() - start < 2
    assert "MLflow is slow; the rest of Run 1 is told it later." in caplog.messages
    goes_on.set()
    follows.close(seconds=10)


def test_nothing_happens_where_nothing_is_tracked(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = ""
    before = threading.active_count()
    follows = Follower(pytest.fail, name="Run 1")
    follows.wake()
    assert threading.active_count() == before
    follows.close()


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

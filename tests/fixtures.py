"""Fixtures that several folders share: a stand-in engine, a really trained package, a real Celery worker.

Nothing here may import Django's models at the top: pytest loads this file before Django is set up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from tests.mlflow_server import MlflowServer, run_mlflow_server

ROOT = Path(__file__).resolve().parent.parent
TINY_CONFIG = {"epochs": 1, "batch_size": 50, "width_multiplier": 0.0625, "validation_fraction": 0.1}
"""Options with which a run on the tiny demo dataset takes seconds."""

_WORKER_START_SECONDS = 60.0
_UNREACHABLE = "http://127.0.0.1:9"  # the discard port: refused at once


@dataclass(frozen=True)
class StubEngine:
    """Chooses how the stand-in engine behaves."""

    monkeypatch: pytest.MonkeyPatch

    def behave(self, mode: str, *, seconds: float = 0.0) -> None:
        """Set the mode (see `tests/stub_engine.py`) and how long an epoch takes."""
        self.monkeypatch.setenv("STUB_ENGINE", mode)
        self.monkeypatch.setenv("STUB_SECONDS", str(seconds))


@pytest.fixture
def stub_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StubEngine:
    """Replace the engine by `tests/stub_engine.py`, which delivers a package that answers by colour."""
    from tests.tiny_model import build_package
    from training import import_work, run_work

    def command(*arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "tests" / "stub_engine.py"), *arguments]

    monkeypatch.setattr(run_work, "engine_command", command)
    monkeypatch.setattr(import_work, "engine_command", command)
    monkeypatch.setenv("STUB_PACKAGE", str(build_package(tmp_path / "packages")))
    monkeypatch.setenv("STUB_PID_FILE", str(tmp_path / "pid"))
    return StubEngine(monkeypatch)


@pytest.fixture
def artifacts_root(settings: Settings, tmp_path: Path) -> Path:
    """Give the test an artifacts root of its own, and no MLflow."""
    settings.ARTIFACTS_ROOT = tmp_path / "artifacts"
    settings.MLFLOW_TRACKING_URI = ""
    return tmp_path / "artifacts"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a local S3 server, one for all tests."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class RemoteArtifacts:
    """A bucket for one test, and machines that share nothing else."""

    environment: dict[str, str]
    bucket: Any
    settings: Settings
    folder: Path

    def keys(self, prefix: str = "") -> list[str]:
        """Names of what is in the store."""
        return sorted(found.key.removeprefix("site/") for found in self.bucket.objects.filter(Prefix=f"site/{prefix}"))

    def move_to(self, machine: str) -> Path:
        """Go on as another machine, with an artifacts folder of its own."""
        root = self.folder / machine / "artifacts"
        self.settings.ARTIFACTS_ROOT = root
        return root


@pytest.fixture
def remote_artifacts(
    s3_server: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts_root: Path
) -> RemoteArtifacts:
    """Keep artifacts in an S3 bucket of the test's own, and this machine's share of them in its folder."""
    import boto3

    name = f"test-{os.urandom(6).hex()}"
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = boto3.resource("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    settings.ARTIFACTS_URL, settings.ARTIFACTS_S3_ENDPOINT = f"s3://{name}/site", s3_server
    options = {"bucket_name": name, "location": "site", "endpoint_url": s3_server}
    storage = {"BACKEND": "training.remote_store.ArtifactStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    settings.HEARTBEAT_SECONDS = 1
    environment = {"ARTIFACTS_URL": f"s3://{name}/site", "ARTIFACTS_S3_ENDPOINT": s3_server}
    return RemoteArtifacts(environment=environment, bucket=bucket, settings=settings, folder=tmp_path)


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an MLflow store, one for all tests: making its tables takes seconds."""
    from training.tracking.store import connect

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.sqlite3'}"
    connect(uri).search_experiments()
    return uri


@pytest.fixture(scope="session")
def _mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with run_mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server


@pytest.fixture
def mlflow_server(_mlflow_server: MlflowServer, settings: Settings, artifacts_root: Path) -> MlflowServer:
    """A real MLflow server that works until it is told to fail, and that the site tracks in."""
    _mlflow_server.recover()
    settings.MLFLOW_TRACKING_URI = _mlflow_server.uri
    return _mlflow_server


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset directory of synthetic shapes, 20 training and 4 test images per class, drawn by the engine."""
    output = tmp_path_factory.mktemp("tiny") / "dataset"
    counts = ["--train-per-class", "20", "--test-per-class", "4"]
    _run_engine("demo", "--name", "tiny", "--output", str(output), *counts)
    return output


@pytest.fixture(scope="session")
def tiny_package(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package made by the real engine, once per session: one epoch on the tiny dataset."""
    import json

    workdir = tmp_path_factory.mktemp("tiny-run")
    config = workdir / "config.json"
    config.write_text(json.dumps({**TINY_CONFIG, "recipe": "fast", "dataset": str(tiny_dataset)}))
    _run_engine("fit", "--config", str(config), "--workdir", str(workdir), "--threads", "1")
    [package] = (workdir / "package").iterdir()
    return package


def _run_engine(*arguments: str) -> None:
    command = [sys.executable, "-m", "training.engine", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@dataclass
class WorkerProcess:
    """A Celery worker in a process of its own, on the test database, broker and artifacts root."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self) -> None:
        from training.models import Worker

        deadline = time.monotonic() + _WORKER_START_SECONDS
        while not Worker.objects.filter(name=self.name).exists():
            assert self.process.poll() is None, self.read_log()
            assert time.monotonic() < deadline, self.read_log()
            time.sleep(0.1)

    def stop(self, *, number: int = signal.SIGTERM, timeout: float = 60.0) -> int:
        """Send a signal to the worker alone, as a service manager does, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"The worker did not end within {timeout} s:\n{self.read_log()}")

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")[-8000:]


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[StartWorker]:
    """Return a function that starts a Celery worker, by default for all queues; they are killed after the test.

    Options: `queues="training,default"`, `environment={…}`.
    """
    from training.processes import kill_group, spawn

    workers: list[WorkerProcess] = []

    def start(
        *, queues: str = "training,inference,default", environment: dict[str, str] | None = None
    ) -> WorkerProcess:
        number = len(workers) + 1
        log = tmp_path / f"worker{number}.log"
        name = f"test{os.getpid()}-{number}@localhost"
        options = ["--queues", queues, "--concurrency", "1", "--hostname", name, "--loglevel", "INFO"]
        command = [sys.executable, "-m", "celery", "--app", "cifarsite", "worker", *options]
        with log.open("w") as stream:
            process = spawn(
                [*command, "--without-mingle", "--without-gossip"],
                env={**shared_environment(), **(environment or {})},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        worker = WorkerProcess(name=name, process=process, log=log)
        workers.append(worker)
        worker.wait_until_ready()
        return worker

    yield start
    for worker in workers:
        kill_group(worker.process)


@pytest.fixture
def celery_worker_process(start_worker: StartWorker) -> WorkerProcess:
    """A running Celery worker for every queue; the test sees its rows (transactional database)."""
    return start_worker()


def shared_environment() -> dict[str, str]:
    """Variables with which another process uses the test's own database, broker and artifacts root."""
    from django.conf import settings
    from django.db import connection

    environment = {
        "PYTHONPATH": str(ROOT),
        "CIFARSITE_VAR": str(settings.VAR),
        "ARTIFACTS_ROOT": str(settings.ARTIFACTS_ROOT),
        "CIFARSITE_TRAINING_THREADS": "1",
        "MLFLOW_TRACKING_URI": _UNREACHABLE,
        "CELERY_SKIP_CHECKS": "1",
    }
    name = str(connection.settings_dict["NAME"])
    if settings.EMBEDDED:
        return {**environment, "CIFARSITE_SQLITE_NAME": Path(name).name}
    url = urlsplit(os.environ["DATABASE_URL"])
    return {**environment, "DATABASE_URL": url._replace(path=f"/{name}").geturl()}

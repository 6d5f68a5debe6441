"""One deterministic test for each fault against which `docs/reliability` promises something.

Where each one is:

====================================================  =================================================================
fault                                                 test
====================================================  =================================================================
kill −9 of the engine mid-epoch                       faults/test_processes; integration/test_training_worker
kill −9 of the supervisor                             faults/test_processes
kill −9 of the whole worker                           integration/test_training_worker
kill −9 of worker and broker together                 faults/test_processes
SIGTERM deploy                                        integration/test_training_worker; training/test_runner
broker restart, FLUSHALL, down at submit              faults/test_broker
database restart during training                      faults/test_database; training/test_supervisor
eight duplicate deliveries                            faults/test_claims; integration/test_training_worker
two claims in the same instant                        faults/test_claims
supervisor stopped for longer than its lease          faults/test_claims
worker clock two hours off                            faults/test_clocks
disk full while checkpointing and while uploading     faults/test_storage; training/test_runner
newest checkpoint truncated or bit-flipped            faults/test_storage; training/engine/test_checkpoint
cancel while queued, running                          training/test_jobs, training/test_runner, integration
cancel while saving                                   faults/test_ends; training/test_supervisor (with a result)
engine deadlocked with a live heartbeat               faults/test_ends
MLflow down or hanging                                faults/test_mlflow_outage; training/tracking
model package deleted or corrupted while serving      faults/test_serving; integration/test_web_processes
promotion and rollback under load                     faults/test_serving
web killed mid-upload                                 faults/test_uploads
16 concurrent writers on SQLite                       faults/test_database
workers killed at random, three machines              faults/test_many_workers
restore of a backup on an empty host, then `audit`    faults/test_restore
====================================================  =================================================================

All run embedded, on SQLite and a Valkey of their own, and again on Postgres with a Redis of their own: a test never
stops or empties the one that `REDIS_URL` names. `bench.faults` injects the same faults at random, hundreds of them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.factories import DatasetFactory
from tests.faults.helpers import LEASE_SECONDS
from tests.fixtures import shared_environment
from tests.installation import Broker, Installation, free_port, prepare_packages
from training.models import TrainingRun
from training.services import request_run
from training.stopping import worker_stopping


@pytest.fixture(autouse=True)
def _lower_the_flag() -> Iterator[None]:
    yield
    worker_stopping.clear()


@pytest.fixture
def short_leases(settings: Settings) -> None:
    """Let a worker that is gone be missed after two seconds."""
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = LEASE_SECONDS, 1


@pytest.fixture
def broker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A broker and cache of the test's own, which this process uses as well."""
    folder = Path(tempfile.mkdtemp(prefix="cifarsite-faults-"))  # short: the socket's path must be
    broker = Broker(folder, port=None if settings.EMBEDDED else free_port())
    broker.start()
    monkeypatch.setenv("CELERY_BROKER_URL", broker.url)
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": broker.cache_url}}
    yield broker
    broker.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, broker: Broker, settings: Settings, tmp_path: Path
) -> Iterator[Installation]:
    """An installation on the test's database whose workers run the stand-in engine: half a second for each epoch."""
    for needed in ("transactional_db", "artifacts_root", "short_leases"):
        request.getfixturevalue(needed)
    shared = {
        **shared_environment(),
        "SECRET_KEY": str(settings.SECRET_KEY),
        "CIFARSITE_LEASE_SECONDS": str(LEASE_SECONDS),
        "CIFARSITE_HEARTBEAT_SECONDS": "1",
        "MLFLOW_TRACKING_URI": "off",
        "STUB_PACKAGES": str(prepare_packages(tmp_path / "packages")),
        "STUB_SECONDS": "0.5",
    }
    if settings.EMBEDDED:
        shared["CIFARSITE_SQLITE_NAME"] = str(Path(settings.VAR) / shared["CIFARSITE_SQLITE_NAME"])
    else:
        shared["REDIS_URL"] = broker.url
    made = Installation(broker.var, broker=broker, environment=shared, is_embedded=settings.EMBEDDED)
    yield made
    made.close()


@pytest.fixture
def run(db: None) -> TrainingRun:
    """A queued run of three epochs, with a history from the start."""
    return _request(epochs=3)


@pytest.fixture
def long_run(db: None) -> TrainingRun:
    """One of ten epochs, which takes the installation's workers some five seconds."""
    return _request(epochs=10)


def _request(*, epochs: int) -> TrainingRun:
    options = {"epochs": epochs, "seed": 0}
    return request_run(owner=None, dataset=DatasetFactory.create(), recipe="fast", overrides=options, announce=False)

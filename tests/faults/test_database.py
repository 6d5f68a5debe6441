"""The database is away or locked while a run is trained, and sixteen writers at once."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests.factories import DatasetImportFactory
from tests.faults.helpers import QUICK, at, epochs_of, history
from tests.fixtures import StubEngine
from training.choices import Cause, JobStatus
from training.models import DatasetImport, TrainingRun
from training.runner import execute_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("artifacts_root"),
]
WRITERS = 16
WRITES = 25


@pytest.mark.skipif(settings.EMBEDDED, reason="a server that can restart: Postgres")
@pytest.mark.parametrize("moment", ["step", "checkpoint", "finished"])
def test_a_database_that_drops_every_connection(run: TrainingRun, stub_engine: StubEngine, moment: str) -> None:
    stub_engine.behave("ok", seconds=0.2)
    execute_run(run.pk, timings=QUICK, listener=at(moment, drop_connections))
    run.refresh_from_db()
    assert (run.status, epochs_of(run)) == (JobStatus.SUCCEEDED, [1, 2, 3])
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]


@pytest.mark.skipif(settings.EMBEDDED, reason="a server that keeps locks for clients: Postgres")
def test_whoever_falls_silent_in_a_transaction_loses_its_locks() -> None:
    """A supervisor that was stopped between two statements would keep its job from everybody else."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("45s",)  # a lease


def drop_connections() -> None:
    """End every session of the test's database, as a restart of the server does."""
    import psycopg

    with psycopg.connect(**_address(), autocommit=True) as own:
        own.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [connection.settings_dict["NAME"]],
        )


def _address() -> dict[str, Any]:
    known = connection.settings_dict
    return {"host": known["HOST"], "port": known["PORT"], "user": known["USER"], "password": known["PASSWORD"]}


@pytest.mark.skipif(not settings.EMBEDDED, reason="a database that somebody can lock: SQLite")
def test_a_database_that_stays_locked_for_a_second(run: TrainingRun, stub_engine: StubEngine) -> None:
    stub_engine.behave("ok", seconds=0.3)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")  # or the writes would wait, and nothing would be tested
    holder = threading.Thread(target=hold_lock)
    execute_run(run.pk, timings=QUICK, listener=at("checkpoint", holder.start))
    holder.join()
    run.refresh_from_db()
    assert (run.status, epochs_of(run)) == (JobStatus.SUCCEEDED, [1, 2, 3])
    assert history(run) == [(Cause.CLAIMED, 1), (Cause.SUCCEEDED, 1)]


def hold_lock() -> None:
    """Keep the write lock of the test's database for a second."""
    other = sqlite3.connect(Path(connection.settings_dict["NAME"]), timeout=5, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(1)
    other.execute("ROLLBACK")
    other.close()


def test_sixteen_writers_at_once(db: None) -> None:
    numbers = [job.pk for job in DatasetImportFactory.create_batch(WRITERS)]
    together = threading.Barrier(WRITERS)

    def work(pk: int) -> None:
        try:
            together.wait()
            job = DatasetImport.claim(pk, worker=str(pk))
            assert job is not None
            for number in range(WRITES):
                job.record_progress(done=number, total=WRITES)
            job.succeed()
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(work, numbers)) == [None] * WRITERS
    ended = DatasetImport.objects.filter(status=JobStatus.SUCCEEDED, progress_done=WRITES)
    assert ended.count() == WRITERS

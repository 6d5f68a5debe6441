"""Faults of processes, machines, broker and database, for `bench.faults`.

Django must be set up before this is imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from bench.fault_site import SWEEPER, Site


def kill_engine(site: Site) -> bool:
    """Kill -9 of an engine, in the middle of whatever it does."""
    run = site.choose()
    engine = site.engine_of(run) if run else None
    if run is None or engine is None:
        return False
    engine.kill()
    site.note_loss("engine_killed", run)
    return True


def kill_supervisor(site: Site) -> bool:
    """Kill -9 of the process that watches an engine; the engine goes with it."""
    run = site.choose()
    supervisor = site.supervisor_of(run) if run else None
    if run is None or supervisor is None:
        return False
    supervisor.kill()
    site.note_loss("supervisor_killed", run)
    return True


def kill_worker(site: Site) -> bool:
    """Kill -9 of a worker; everything below it goes with it, and a service manager starts it again."""
    run = site.choose()
    name = site.machine_of(run) if run else None
    if run is None or name is None:
        return False
    site.workers[name].kill()
    site.note_loss("worker_killed", run)
    return True


def kill_worker_and_broker(site: Site) -> bool:
    """Both at once; the broker is back after a second, with what it had written to its disk."""
    run = site.choose()
    name = site.machine_of(run) if run else None
    if run is None or name is None or site.installation.broker.process is None:
        return False
    site.workers[name].kill()
    site.installation.broker.kill()
    site.note_loss("worker_and_broker_killed", run)
    site.after(1, site.installation.broker.start)
    return True


def deploy(site: Site) -> bool:
    """SIGTERM to a worker that is at work; it is started again once it has ended."""
    run = site.choose()
    name = site.machine_of(run) if run else None
    if run is None or name is None:
        return False
    os.kill(site.workers[name].pid, signal.SIGTERM)
    site.note_loss("deployed", run)
    return True


def restart_broker(site: Site) -> bool:
    """Stop the broker gently and start it a second later."""
    broker = site.installation.broker
    if broker.process is None:
        return False
    broker.stop()
    site.after(1, broker.start)
    return True


def empty_broker(site: Site) -> bool:
    """FLUSHALL: messages, bindings and the cache are gone."""
    if site.installation.broker.process is None:
        return False
    site.installation.broker.flush()
    return True


def submit_without_broker(site: Site) -> bool:
    """Ask for two runs while the broker is down."""
    broker = site.installation.broker
    if broker.process is None or site.submitted + 2 > site.jobs:
        return False
    broker.stop()
    site.submit()
    site.submit()
    broker.start()
    return True


def restart_database(site: Site) -> bool:
    """End every session of Postgres and let nobody in for some seconds; hold SQLite's write lock as long."""
    seconds = site.chance.choice([0.5, 1.0, 2.0, 5.0])  # the last is longer than the bench's lease
    if connection.vendor == "sqlite":
        threading.Thread(target=_hold_sqlite, args=(seconds,)).start()
        return True
    name = connection.settings_dict["NAME"]
    with _administrator() as own:
        own.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        try:
            own.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            connection.close()
            time.sleep(seconds)
        finally:
            own.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    return True


def _hold_sqlite(seconds: float) -> None:
    other = sqlite3.connect(Path(connection.settings_dict["NAME"]), timeout=20, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    other.execute("ROLLBACK")
    other.close()


def _administrator() -> contextlib.AbstractContextManager[Any]:
    known = connection.settings_dict
    return psycopg.connect(
        host=known["HOST"], port=known["PORT"], user=known["USER"], password=known["PASSWORD"], dbname="postgres",
        autocommit=True,
    )  # fmt: skip


def stop_supervisor(site: Site) -> bool:
    """SIGSTOP a supervisor for longer than its lease; its engine goes on meanwhile."""
    run = site.choose()
    supervisor = site.supervisor_of(run) if run else None
    if run is None or supervisor is None:
        return False
    supervisor.suspend()
    site.note_loss("supervisor_stopped", run)

    def go_on() -> None:
        with contextlib.suppress(Exception):
            supervisor.resume()

    site.after(12, go_on)
    return True


def set_clock_ahead(site: Site) -> bool:
    """Give one machine, the sweeper's at the second time, a clock that is two hours ahead or behind, for good."""
    is_taken = any("STUB_CLOCK_SECONDS" in variables for variables in site.environments.values())
    name, seconds = (SWEEPER, 7200) if is_taken else (site.chance.choice(["north", "south"]), -7200)
    os.kill(site.workers[name].pid, signal.SIGTERM)
    site.environments[name] = {"STUB_CLOCK_SECONDS": str(seconds)}
    return True


def stop_engine(site: Site) -> bool:
    """SIGSTOP an engine for good: its supervisor's heart goes on beating."""
    run = site.choose()
    engine = site.engine_of(run) if run else None
    if run is None or engine is None:
        return False
    site.stopped_engines.add(run.pk)
    engine.suspend()
    return True


def lose_mlflow(site: Site) -> bool:
    """Let one machine's MLflow be down for half a minute."""
    return _use_mlflow(site, "http://127.0.0.1:9")


def hang_mlflow(site: Site) -> bool:
    """Let one machine's MLflow accept connections and say nothing for half a minute."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=50)
    site.after(60, silent.close)
    return _use_mlflow(site, f"http://127.0.0.1:{silent.getsockname()[1]}")


def _use_mlflow(site: Site, address: str) -> bool:
    def change(environment: dict[str, str]) -> None:
        site.environments["east"] = environment
        os.kill(site.workers["east"].pid, signal.SIGTERM)

    change({"MLFLOW_TRACKING_URI": address})
    site.after(30, lambda: change({}))
    return True

"""Jobs under random faults: how many are lost or done twice, and how soon somebody else takes over.

    python -m bench.faults --mode embedded|production [--jobs 1000] [--real-jobs 50] [--faults 200] [--seed 1]

Starts an installation of its own: a broker, four training workers and a sweeper's, each on a "machine" with a folder of
its own, beat, and the web server with somebody who keeps asking. In production mode it makes a database of its own on
the Postgres of DATABASE_URL and drops it afterwards. Jobs are submitted all the time; the seed decides which fault
comes after how many ended jobs, and the order in which targets are chosen. Most engines are a stand-in that speaks the
real protocol; leases are short, so that hundreds of losses fit into minutes: to a takeover add the difference to the
default lease. Each fault and its share stands in `bench.fault_kinds`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management import call_command
from django.db import connection

from bench.machine import RESULTS
from tests.installation import Broker, Installation, free_port, prepare_packages

RESULT: Final = RESULTS / "faults.json"
LEASE_SECONDS: Final = 4
SETTINGS: Final = {
    "CIFARSITE_LEASE_SECONDS": str(LEASE_SECONDS),
    "CIFARSITE_HEARTBEAT_SECONDS": "1",
    "CIFARSITE_PROGRESS_SECONDS": "60",
    "STUB_SECONDS": "0.25",
}


def main() -> None:
    """Break, count, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["embedded", "production"], required=True)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--real-jobs", type=int, default=50, help="of those, with the real engine")
    parser.add_argument("--faults", type=int, default=200, help="at least so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cifarsite-bench-"))
    try:
        with installed(folder, is_embedded=options.mode == "embedded") as installation:
            from bench.fault_round import measure  # noqa: PLC0415 - Django is set up by now

            figures = measure(installation, options)
    finally:
        if options.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print_figures(figures)
    save(figures)


@contextlib.contextmanager
def installed(folder: Path, *, is_embedded: bool) -> Iterator[Installation]:
    """Prepare folder, broker and database, set Django up on them, and yield the installation."""
    broker = Broker(folder / "broker", port=None if is_embedded else free_port())
    broker.start()
    database = None if is_embedded else create_database()
    environment = {
        "ARTIFACTS_ROOT": str(folder / "artifacts"),
        "SECRET_KEY": "only-for-the-bench",
        "CIFARSITE_TRAINING_THREADS": "1",
        "MLFLOW_TRACKING_URI": "off",
        "LOG_LEVEL": "INFO",
        "CIFARSITE_SQLITE_NAME": str(folder / "db.sqlite3"),
        "DATABASE_URL": database or "",
        "REDIS_URL": "" if is_embedded else broker.url,
        "STUB_PACKAGES": str(folder / "packages"),
        **SETTINGS,
    }
    os.environ.update(environment | {"CIFARSITE_VAR": str(folder / "broker"), "LOG_LEVEL": "ERROR"})
    os.environ.update({"DJANGO_SETTINGS_MODULE": "cifarsite.settings", "CIFARSITE_HTTPS": "false"})
    os.environ["ALLOWED_HOSTS"] = "127.0.0.1,testserver"
    django.setup()
    call_command("migrate", verbosity=0)
    prepare_packages(folder / "packages")
    installation = Installation(folder, broker=broker, environment=environment, is_embedded=is_embedded)
    try:
        yield installation
    finally:
        installation.close()
        connection.close()
        if database is not None:
            drop_database(database)


def create_database() -> str:
    """Make an empty database on the server of DATABASE_URL; returns its address."""
    name = f"cifarsite_bench_{os.getpid()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def drop_database(url: str) -> None:
    """Remove it again, whoever may still be connected."""
    address = urlsplit(url)
    with psycopg.connect(address._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(f'DROP DATABASE "{address.path[1:]}" WITH (FORCE)')


def print_figures(figures: dict[str, Any]) -> None:
    """Print what counts as a table."""
    for name, value in figures.items():
        if not isinstance(value, dict):
            print(f"{name:<28} {value}")
    for name, value in {**figures["faults_by_kind"], **figures["jobs_by_end"]}.items():
        print(f"  {name:<26} {value}")


def save(figures: dict[str, Any]) -> None:
    """Put the figures in the place of those of the same mode."""
    known = json.loads(RESULT.read_text()) if RESULT.exists() else []
    others = [entry for entry in known if entry["mode"] != figures["mode"]]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(sorted([*others, figures], key=lambda entry: entry["mode"]), indent=1) + "\n")
    print(f"saved {RESULT}")


if __name__ == "__main__":
    main()

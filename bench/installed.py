"""An installation of a bench's own: folder, broker and database, made before it and removed after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management import call_command
from django.db import connection

from tests.installation import Broker, Installation, free_port, prepare_packages


@contextlib.contextmanager
def installed(folder: Path, *, is_embedded: bool, settings: Mapping[str, str]) -> Iterator[Installation]:
    """Prepare folder, broker and database, set Django up on them, and yield the installation.

    Args:
        folder: Where everything lies.
        is_embedded: SQLite and a broker on a socket, or a database of its own on the Postgres of DATABASE_URL.
        settings: Variables of the site.
    """
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
        **settings,
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

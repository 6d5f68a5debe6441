"""The database's rows as text, one JSON object a line: the same on SQLite and on Postgres, and never pickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core import serializers
from django.core.management.color import no_style
from django.core.serializers.base import DeserializationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connection, models, transaction
from django.db.migrations.loader import MigrationLoader

from cifarsite.backup.archive import BackupError

# People log in again on the other host, whose secret key is another; its workers report themselves.
_LEFT_OUT: Final = {"accounts.session", "sessions.session", "training.worker"}
# A database that was only just migrated has these; they are replaced by those of the backup, with their numbers.
_MADE_BY_MIGRATIONS: Final = ("auth.group", "auth.permission", "contenttypes.contenttype")
_CHUNK_ROWS: Final = 500


class _ExactEncoder(DjangoJSONEncoder):
    """Keeps microseconds, by which MLflow knows a run again; Django's own drops them."""

    def default(self, o: Any) -> Any:  # noqa: ANN401  # the json module's own signature
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


@contextmanager
def snapshot() -> Iterator[None]:
    """See the database as it is now for as long as the block lasts, while others go on writing."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")  # atomic() would take the lock that writers need
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def dump_rows(folder: Path) -> list[Path]:
    """Write every table to a file of its own, `<app>.<model>.jsonl`, and return the files."""
    files = []
    for model in _list_models():
        path = folder / f"{model._meta.label_lower}.jsonl"
        rows = model._base_manager.order_by("pk").iterator(chunk_size=_CHUNK_ROWS)
        with path.open("w", encoding="utf-8") as file:
            serializers.serialize("jsonl", rows, stream=file, cls=_ExactEncoder)
        files.append(path)
    return files


def load_rows(folder: Path) -> None:
    """Insert what `dump_rows` wrote into an empty database, with the same primary keys. Call it in a transaction.

    Raises:
        BackupError: a row does not fit.
    """
    wanted = {path.name for path in folder.iterdir()}
    for label in _MADE_BY_MIGRATIONS:
        apps.get_model(label)._base_manager.all().delete()
    try:
        for model in _list_models():
            name = f"{model._meta.label_lower}.jsonl"
            if name in wanted:
                with (folder / name).open(encoding="utf-8") as file:
                    for row in serializers.deserialize("jsonl", file):
                        row.save(force_insert=True)
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), _list_models()):
                cursor.execute(statement)
        connection.check_constraints()
    except (DeserializationError, DatabaseError, ValueError) as error:
        raise BackupError(f"The backup's rows cannot be loaded: {error}.") from error


def find_rows() -> str:
    """Name a table with rows in it that no migration made; "" for an empty database."""
    for model in _list_models():
        if model._meta.label_lower not in _MADE_BY_MIGRATIONS and model._base_manager.exists():
            return str(model._meta.verbose_name_plural)
    return ""


def list_applied() -> list[tuple[str, str]]:
    """Return the migrations that the database has, as pairs of app and name; of replaced ones those that replace."""
    loader = MigrationLoader(connection)
    ours = (pair for pair in loader.applied_migrations if pair[0] in loader.migrated_apps)
    return sorted(set(ours) - _list_replaced(loader))


def list_known() -> list[tuple[str, str]]:
    """Return the migrations that this version of the site has, likewise."""
    loader = MigrationLoader(None)
    return sorted(set(loader.disk_migrations) - _list_replaced(loader))


def _list_replaced(loader: MigrationLoader) -> set[tuple[str, str]]:
    return {pair for migration in loader.disk_migrations.values() for pair in migration.replaces}


def _list_models() -> list[type[models.Model]]:
    found = serializers.sort_dependencies([(config, None) for config in apps.get_app_configs()])
    kept = (model for model in found if model._meta.managed and not model._meta.proxy)
    return [model for model in kept if model._meta.label_lower not in _LEFT_OUT]

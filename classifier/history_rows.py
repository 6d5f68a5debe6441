"""How an answer enters the history: its row is committed before anybody hears of it, together with others that wait.

Requests that end at the same time share one INSERT and one COMMIT. Alone, a request commits its own row at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from django.db import DataError, IntegrityError, connection

from classifier.gathering import Gathering
from classifier.models import Prediction

MOST_ROWS: Final = 32
"""Of one INSERT: more than a web process works on at once; SQLite's least limit of variables allows fifty."""


def record(prediction: Prediction) -> None:
    """Save a new row and return when it is committed; inside a transaction of the caller's, it is committed with that.

    Raises:
        DatabaseError: it was not saved: because of the row itself, or because the database does not answer.
    """
    if connection.in_atomic_block:
        [prediction.pk] = _insert([prediction])
    else:
        prediction.pk = _commits.ask(prediction)
    prediction._state.adding, prediction._state.db = False, connection.alias


def _insert(rows: Sequence[Prediction]) -> list[int]:
    """Insert rows with one statement, which outside of a transaction is one of its own, and return their keys."""
    fields = Prediction._meta.local_concrete_fields[1:]  # all but the key
    values: list[Any] = [
        field.get_db_prep_save(field.pre_save(row, add=True), connection) for row in rows for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(_statement(len(rows)), values)
        return [key for (key,) in cursor.fetchall()]


@cache
def _statement(rows: int) -> str:
    """Return the INSERT of so many rows; composing it with the ORM takes ten times as long as running it."""
    quote = connection.ops.quote_name
    key, *fields = Prediction._meta.local_concrete_fields
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * rows)
    table, returned = quote(Prediction._meta.db_table), quote(str(key.column))
    return " ".join(["INSERT INTO", table, f"({columns})", "VALUES", places, "RETURNING", returned])


# What says that one of the rows is wrong leaves none of them behind. After any other error nobody knows whether they
# were committed, so nothing is tried again: those who wait hear of it, and their programs decide.
_commits: Final = Gathering(_insert, limit=MOST_ROWS, alone_after=(IntegrityError, DataError))
os.register_at_fork(after_in_child=_commits.forget)

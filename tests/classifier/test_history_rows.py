"""Rows of the history: whole, committed before the caller goes on, in the caller's transaction where there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier import history_rows
from classifier.history_rows import record
from classifier.models import Prediction
from tests.factories import PredictionFactory
from training.models import ModelVersion


def unsaved(user: User, version: ModelVersion, *, name: str = "été 🐱.png") -> Prediction:
    row: Prediction = PredictionFactory.build(
        owner=user, model_version=version, file_name=name, out_of_distribution=True
    )
    return row


@pytest.mark.django_db
def test_a_row_is_kept_whole_with_one_statement(
    user: User, champion: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = unsaved(user, champion)
    with django_assert_num_queries(1):
        record(row)
    kept = Prediction.objects.get(pk=row.pk)
    assert timezone.now() - kept.created_at < timedelta(minutes=1)
    for field in Prediction._meta.concrete_fields:
        found = getattr(kept, field.attname)
        assert (bytes(found) if field.name == "thumbnail" else found) == getattr(row, field.attname), field.name
    assert not row._state.adding
    row.label_key = "cat"
    row.save()
    assert Prediction.objects.get().label_key == "cat"


@pytest.mark.django_db(transaction=True)
def test_a_callers_transaction_keeps_its_row(user: User, champion: ModelVersion) -> None:
    with transaction.atomic():
        record(unsaved(user, champion))
        assert Prediction.objects.count() == 1
        transaction.set_rollback(True)
    assert not Prediction.objects.exists()


class Slow:
    """Inserts, whose first go waits until three others queue behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, error: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self.error = error
        self.insert = history_rows._insert
        monkeypatch.setattr(history_rows._commits, "_work", self)

    def __call__(self, rows: list[Prediction]) -> list[int]:
        self.sizes.append(len(rows))
        while len(self.sizes) == 1 and len(history_rows._commits._waiting) < 3:
            pass
        if self.error is not None and len(rows) > 1:
            raise self.error
        return self.insert(rows)


def at_once(*rows: Prediction) -> list[DatabaseError | None]:
    """Record the first row, and the others while it is under way; return what each thread met."""
    met: dict[int, DatabaseError | None] = {}

    def work(index: int) -> None:
        try:
            record(rows[index])
            met[index] = None
            assert Prediction.objects.filter(pk=rows[index].pk, file_name=rows[index].file_name).exists()
        except DatabaseError as error:
            met[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [met[index] for index in range(len(rows))]


@pytest.fixture
def four(user: User, champion: ModelVersion) -> Callable[[], list[Prediction]]:
    return lambda: [unsaved(user, champion, name=f"{index}.png") for index in range(4)]


@pytest.mark.django_db(transaction=True)
def test_rows_that_wait_are_committed_together(
    monkeypatch: pytest.MonkeyPatch, four: Callable[[], list[Prediction]]
) -> None:
    slow = Slow(monkeypatch)
    assert at_once(*four()) == [None] * 4
    assert slow.sizes == [1, 3]
    assert Prediction.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_a_row_that_cannot_be_kept_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, four: Callable[[], list[Prediction]]
) -> None:
    Slow(monkeypatch)
    rows = four()
    rows[2].width = -1  # PositiveIntegerField's constraint
    met = at_once(*rows)
    assert [type(error) for error in met] == [type(None), type(None), IntegrityError, type(None)]
    assert set(Prediction.objects.values_list("file_name", flat=True)) == {"0.png", "1.png", "3.png"}


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_is_told_to_all_and_nothing_is_written_twice(
    monkeypatch: pytest.MonkeyPatch, four: Callable[[], list[Prediction]]
) -> None:
    slow = Slow(monkeypatch, error=OperationalError("gone"))
    met = at_once(*four())
    assert sorted(str(error) for error in met) == ["None", "gone", "gone", "gone"]
    assert slow.sizes == [1, 3]
    assert Prediction.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_hundred_rows_of_eight_threads_all_get_their_own_key(user: User, champion: ModelVersion) -> None:
    rows = [unsaved(user, champion, name=f"{index}.png") for index in range(200)]

    def work(start: int) -> None:
        for row in rows[start::8]:
            record(row)
        connection.close()

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    kept = dict(Prediction.objects.values_list("pk", "file_name"))
    assert kept == {row.pk: row.file_name for row in rows}

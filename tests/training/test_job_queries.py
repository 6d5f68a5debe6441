"""Which jobs may be taken, and in which order."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from tests.factories import DatasetImportFactory, TrainingRunFactory, UserFactory, in_state
from training.choices import JobStatus, Priority
from training.models import DatasetImport, TrainingRun

pytestmark = pytest.mark.django_db


def in_turn() -> list[int]:
    return list(TrainingRun.objects.claimable().in_turn().values_list("pk", flat=True))


def test_higher_priorities_come_first_then_older_requests() -> None:
    low, first, second, high = (
        TrainingRunFactory.create(priority=priority)
        for priority in (Priority.LOW, Priority.NORMAL, Priority.NORMAL, Priority.HIGH)
    )
    assert in_turn() == [high.pk, first.pk, second.pk, low.pk]


@pytest.mark.parametrize(
    ("status", "may_start"),
    [
        (JobStatus.QUEUED, False),
        (JobStatus.RUNNING, False),
        (JobStatus.FAILED, False),
        (JobStatus.CANCELLED, False),
        (JobStatus.SUCCEEDED, True),
    ],
)
def test_a_follower_starts_once_its_run_has_succeeded(status: JobStatus, *, may_start: bool) -> None:
    run = TrainingRunFactory.create()
    follower = TrainingRunFactory.create(after=run)
    TrainingRun.objects.filter(pk=run.pk).update(**in_state(status))
    assert (follower.pk in in_turn()) is may_start
    assert (TrainingRun.claim(follower.pk, worker="here") is not None) is may_start


def test_the_runs_that_follow_a_dead_one_are_found() -> None:
    for status in JobStatus:
        TrainingRunFactory.create(after=TrainingRunFactory.create(status=status))
    found = TrainingRun.objects.waiting_in_vain()
    assert sorted(run.after.status for run in found) == [JobStatus.CANCELLED, JobStatus.FAILED]


def test_an_owner_trains_so_many_at_the_same_time_and_no_more(settings: Settings) -> None:
    settings.USER_RUNNING_RUNS = 1
    busy = TrainingRunFactory.create(status=JobStatus.RUNNING).owner
    waiting = TrainingRunFactory.create(owner=busy)
    other, nobodys = TrainingRunFactory.create(), TrainingRunFactory.create(owner=None)
    assert in_turn() == [other.pk, nobodys.pk]
    assert TrainingRun.claim(waiting.pk, worker="here") is None
    settings.USER_RUNNING_RUNS = 2
    assert TrainingRun.claim(waiting.pk, worker="here") is not None


def test_a_claim_looks_at_the_row_itself(settings: Settings) -> None:
    """Were the state looked up in a sub-query, Postgres would not look again after it waited for another claim."""
    settings.USER_RUNNING_RUNS = 1
    run = TrainingRunFactory.create(after=TrainingRunFactory.create(status=JobStatus.SUCCEEDED))
    with CaptureQueriesContext(connection) as captured:
        assert TrainingRun.claim(run.pk, worker="here") is not None
    [update] = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "training_trainingrun"')]
    assert '"training_trainingrun"."id" IN (SELECT' not in update
    assert f'"training_trainingrun"."id" = {run.pk}' in update
    assert '"training_trainingrun"."status" = \'queued\'' in update


@pytest.mark.django_db(transaction=True)
def test_of_claims_at_the_same_instant_one_wins() -> None:
    job = DatasetImportFactory.create()
    together = threading.Barrier(8)
    won: list[int] = []

    def claim() -> None:
        try:
            together.wait()
            mine = DatasetImport.claim(job.pk, worker="here")
            if mine is not None:
                won.append(mine.fence)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [1]


@pytest.mark.django_db(transaction=True)
def test_claims_at_the_same_instant_do_not_pass_a_limit(settings: Settings) -> None:
    settings.USER_RUNNING_RUNS = 1
    owner = UserFactory.create()
    runs = [TrainingRunFactory.create(owner=owner) for _number in range(4)]
    together = threading.Barrier(4)

    def claim(pk: int) -> None:
        try:
            together.wait()
            TrainingRun.claim(pk, worker="here")
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(run.pk,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert TrainingRun.objects.filter(status=JobStatus.RUNNING).count() == 1

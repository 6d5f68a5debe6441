"""The history of jobs: every change is in it, and no other change can be made."""

from __future__ import annotations

from itertools import product

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tests.factories import TrainingRunFactory, UserFactory
from training.choices import Cause, ImportSource, JobStatus, Reason
from training.models import DatasetImport, TrainingRun, Transition
from training.transitions import LEGAL, REQUEST

pytestmark = pytest.mark.django_db


def history(job: DatasetImport | TrainingRun) -> list[tuple[str, str, str]]:
    return [(change.from_status, change.to_status, change.cause) for change in Transition.objects.of(job)]


@pytest.fixture
def job() -> DatasetImport:
    job = DatasetImport(name="shapes", source=ImportSource.DEMO)
    job.submit()
    return job


def claimed(job: DatasetImport) -> DatasetImport:
    mine = DatasetImport.claim(job.pk, worker="host:1")
    assert mine is not None
    return mine


def test_a_life_is_told_from_its_beginning(job: DatasetImport) -> None:
    claimed(job).release()
    claimed(job).lose(reason=Reason.KILLED, detail="Killed.")
    claimed(job).succeed()
    queued, running, succeeded = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED
    assert history(job) == [
        (REQUEST, queued, Cause.REQUESTED),
        (queued, running, Cause.CLAIMED),
        (running, queued, Cause.RELEASED),
        (queued, running, Cause.CLAIMED),
        (running, queued, Cause.LOST),
        (queued, running, Cause.CLAIMED),
        (running, succeeded, Cause.SUCCEEDED),
    ]
    assert [change.fence for change in Transition.objects.of(job)] == [0, 1, 1, 2, 2, 3, 3]
    assert [change.worker for change in Transition.objects.of(job)] == ["", *["host:1"] * 6]
    assert [change.reason for change in Transition.objects.of(job)] == ["", "", "", "", Reason.KILLED, "", ""]
    assert [change.attempt for change in Transition.objects.of(job)] == [0, 1, 0, 1, 1, 2, 2]


def test_it_says_who_and_why() -> None:
    owner, operator = UserFactory.create(), UserFactory.create()
    job = DatasetImport(name="shapes", source=ImportSource.DEMO, owner=owner)
    job.submit()
    mine = claimed(job)
    DatasetImport.request_cancel(job.pk, by=operator)
    mine.cancel()
    DatasetImport.resume(job.pk, by=owner)
    claimed(job).fail(reason=Reason.DISK_FULL, detail="The disk is full.")
    requested, claim, cancel, resume, _claim, failure = Transition.objects.of(job)
    assert (requested.by, claim.by, cancel.by, resume.by, failure.by) == (owner, None, operator, owner, None)
    assert (claim.worker, failure.worker) == ("host:1", "host:1")
    assert (failure.reason, failure.detail) == (Reason.DISK_FULL, "The disk is full.")
    assert abs((timezone.now() - failure.at).total_seconds()) < 60


def test_one_kind_of_job_is_not_told_another_ones_history(job: DatasetImport) -> None:
    run = TrainingRunFactory.create(pk=job.pk)
    assert history(run) == []


@pytest.mark.parametrize("cause", Cause)
def test_the_database_refuses_illegal_changes(cause: Cause) -> None:
    states = [REQUEST, *JobStatus.values]
    for source, target in product(states, JobStatus.values):
        is_legal = (source, target) in LEGAL[cause]
        change = Transition(job_kind="x", job_pk=1, from_status=source, to_status=target, cause=cause)
        try:
            with transaction.atomic():
                change.save()
        except IntegrityError:
            assert not is_legal
        else:
            assert is_legal


def test_a_change_that_cannot_be_told_is_not_made(job: DatasetImport) -> None:
    mine = claimed(job)
    with pytest.raises(IntegrityError), transaction.atomic():
        DatasetImport._move(
            mine.pk,
            DatasetImport.objects.all(),
            source=JobStatus.RUNNING,
            to=JobStatus.QUEUED,
            cause=Cause.CLAIMED,
            lease_until=None,
        )
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING


def test_a_state_is_not_written_by_the_way(job: DatasetImport) -> None:
    mine = claimed(job)
    with pytest.raises(TypeError, match="changed by its transitions alone"):
        mine.record(status=JobStatus.SUCCEEDED)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": JobStatus.RUNNING},
        {"status": JobStatus.SUCCEEDED},
        {"finished_at": timezone.now()},
        {"lease_until": timezone.now()},
    ],
)
def test_the_database_refuses_half_a_change(job: DatasetImport, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        DatasetImport.objects.filter(pk=job.pk).update(**fields)

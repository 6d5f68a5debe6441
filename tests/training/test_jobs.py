"""The job state machine: every transition, and what a stale worker cannot do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from training.choices import ImportSource, JobStatus, Reason
from training.exceptions import FenceLostError
from training.jobs import MAX_ATTEMPTS
from training.models import DatasetImport

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> DatasetImport:
    return DatasetImport.objects.create(name="shapes", source=ImportSource.DEMO)


def claimed(job: DatasetImport, worker: str = "here") -> DatasetImport:
    mine = DatasetImport.claim(job.pk, worker=worker)
    assert mine is not None
    return mine


def expire(job: DatasetImport) -> None:
    DatasetImport.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_claim_takes_a_queued_job_once(job: DatasetImport) -> None:
    mine = claimed(job)
    assert (mine.status, mine.fence, mine.attempts, mine.worker) == (JobStatus.RUNNING, 1, 1, "here")
    assert mine.lease_until is not None
    assert 40 < (mine.lease_until - timezone.now()).total_seconds() <= 46
    assert DatasetImport.claim(job.pk, worker="there") is None


@pytest.mark.django_db(transaction=True)
def test_a_claim_reads_its_fence_in_the_transaction_that_raised_it(job: DatasetImport) -> None:
    with CaptureQueriesContext(connection) as captured:
        claimed(job)
    words = [query["sql"].split()[0] for query in captured]
    assert (words[0], words[-1], words.count("COMMIT")) == ("BEGIN", "COMMIT", 1)


def test_claim_of_a_missing_job_is_none() -> None:
    assert DatasetImport.claim(999, worker="here") is None


def test_progress_and_success(job: DatasetImport) -> None:
    mine = claimed(job)
    mine.record_progress(done=3, total=4, message="reading")
    mine.succeed()
    job.refresh_from_db()
    assert (job.status, job.progress_done, job.progress_percent) == (JobStatus.SUCCEEDED, 4, 100)
    assert job.finished_at is not None
    assert job.lease_until is None


def test_failure_keeps_reason_and_sentence(job: DatasetImport) -> None:
    claimed(job).fail(reason=Reason.DISK_FULL, detail="The disk is full.")
    job.refresh_from_db()
    assert (job.status, job.reason, job.detail) == (JobStatus.FAILED, Reason.DISK_FULL, "The disk is full.")


@pytest.mark.parametrize("write", ["renew_lease", "is_cancel_requested", "succeed", "cancel", "release"])
def test_an_ended_job_takes_no_write(job: DatasetImport, write: str) -> None:
    mine = claimed(job)
    mine.succeed()
    with pytest.raises(FenceLostError):
        getattr(mine, write)()
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED


def test_a_stale_worker_changes_nothing(job: DatasetImport) -> None:
    stale = claimed(job, "slow")
    expire(job)
    assert DatasetImport.objects.reap_expired() == 1
    fresh = claimed(job, "quick")
    with pytest.raises(FenceLostError):
        stale.succeed()
    with pytest.raises(FenceLostError):
        stale.record_progress(done=9, total=9)
    job.refresh_from_db()
    assert (job.status, job.worker, job.fence, job.progress_done) == (JobStatus.RUNNING, "quick", 2, 0)
    fresh.succeed()


def test_reaping_is_safe_to_repeat_and_leaves_live_leases(job: DatasetImport) -> None:
    claimed(job)
    assert DatasetImport.objects.reap_expired() == 0
    expire(job)
    assert DatasetImport.objects.reap_expired() == 1
    assert DatasetImport.objects.reap_expired() == 0


def test_a_job_that_keeps_losing_its_worker_is_given_up(job: DatasetImport) -> None:
    for _attempt in range(MAX_ATTEMPTS):
        claimed(job)
        expire(job)
        DatasetImport.objects.reap_expired()
    job.refresh_from_db()
    assert (job.status, job.reason, job.attempts) == (JobStatus.FAILED, Reason.WORKER_LOST, MAX_ATTEMPTS)


def test_release_does_not_count_as_an_attempt(job: DatasetImport) -> None:
    claimed(job).release()
    job.refresh_from_db()
    assert (job.status, job.attempts, job.fence) == (JobStatus.QUEUED, 0, 1)


def test_cancel_of_a_queued_job_is_immediate(job: DatasetImport) -> None:
    assert DatasetImport.request_cancel(job.pk) is True
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert DatasetImport.claim(job.pk, worker="here") is None
    assert DatasetImport.request_cancel(job.pk) is False


def test_cancel_is_one_update_whatever_the_state(job: DatasetImport) -> None:
    """Between two, a job could be given back and escape both."""
    with CaptureQueriesContext(connection) as captured:
        assert DatasetImport.request_cancel(job.pk) is True
    assert [query["sql"].split()[0] for query in captured].count("UPDATE") == 1
    job.refresh_from_db()
    assert (job.status, job.reason, job.cancel_requested) == (JobStatus.CANCELLED, Reason.CANCELLED, True)
    assert job.finished_at is not None


def test_cancel_of_a_running_job_is_a_flag_its_worker_reads(job: DatasetImport) -> None:
    mine = claimed(job)
    assert mine.is_cancel_requested() is False
    assert DatasetImport.request_cancel(job.pk) is True
    assert mine.is_cancel_requested() is True
    job.refresh_from_db()
    assert (job.status, job.finished_at) == (JobStatus.RUNNING, None)
    mine.cancel()
    job.refresh_from_db()
    assert (job.status, job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


def test_a_lost_worker_does_not_undo_a_cancel(job: DatasetImport) -> None:
    claimed(job)
    DatasetImport.request_cancel(job.pk)
    expire(job)
    DatasetImport.objects.reap_expired()
    job.refresh_from_db()
    assert (job.status, job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


def test_a_job_given_back_in_the_moment_of_its_cancellation_is_dropped(job: DatasetImport) -> None:
    mine = claimed(job)
    DatasetImport.request_cancel(job.pk)
    mine.release()
    assert DatasetImport.claim(job.pk, worker="there") is None
    assert DatasetImport.drop_cancelled(job.pk) is True
    assert DatasetImport.drop_cancelled(job.pk) is False
    job.refresh_from_db()
    assert (job.status, job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
def test_a_killed_process_costs_an_attempt(job: DatasetImport, attempts: int) -> None:
    for _attempt in range(attempts):
        claimed(job).lose(reason=Reason.KILLED, detail="Killed from outside.")
    job.refresh_from_db()
    is_last = attempts == MAX_ATTEMPTS
    expected = (JobStatus.FAILED, Reason.KILLED, "Killed from outside.") if is_last else (JobStatus.QUEUED, "", "")
    assert (job.status, job.reason, job.detail) == expected
    assert job.attempts == attempts


def test_the_lease_is_as_long_as_configured(job: DatasetImport, settings: Settings) -> None:
    settings.LEASE_SECONDS = 5
    mine = claimed(job)
    assert mine.lease_until is not None
    assert 3 < (mine.lease_until - timezone.now()).total_seconds() <= 6

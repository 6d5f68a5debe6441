"""How far a job is: the estimate of what is left, and how often a page asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from training.choices import JobStatus
from training.models import EpochMetric, TrainingRun
from training.pace import elapsed_seconds, seconds_left
from training.views.progress import poll_seconds, state_key

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def run(**fields: Any) -> TrainingRun:
    return TrainingRun(status=JobStatus.RUNNING, started_at=NOW - timedelta(seconds=30), **fields)


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(JobStatus.QUEUED, 2), (JobStatus.RUNNING, 1), (JobStatus.SUCCEEDED, 0), (JobStatus.FAILED, 0)],
)
def test_a_page_asks_until_the_end(status: JobStatus, seconds: int) -> None:
    assert poll_seconds(TrainingRun(status=status)) == seconds


@pytest.mark.parametrize(
    ("status", "cancel_requested", "key"),
    [
        (JobStatus.RUNNING, False, "running"),
        (JobStatus.RUNNING, True, "running-ending"),
        (JobStatus.CANCELLED, True, "cancelled"),
    ],
)
def test_a_page_tells_a_job_that_shall_end_from_one_that_has(
    status: JobStatus, cancel_requested: bool, key: str
) -> None:
    assert state_key(TrainingRun(status=status, cancel_requested=cancel_requested)) == key


def test_the_time_left_follows_from_the_time_taken() -> None:
    assert seconds_left(run(progress_done=10, progress_total=40), now=NOW) == pytest.approx(90.0)


def test_a_runs_newest_epoch_tells_its_pace() -> None:
    epoch = EpochMetric(epoch=2, step=20, seconds=50.0)  # 5 s a step
    assert seconds_left(run(progress_done=20, progress_total=40), last_epoch=epoch, now=NOW) == pytest.approx(100.0)


def test_the_pace_of_a_second_phase_is_its_own() -> None:
    """Steps go on counting over the phases: step 70 ends the second epoch of five steps after 60 of the first."""
    job = run(progress_done=70, progress_total=80)
    job.environment = {"steps_per_epoch": 5}
    epoch = EpochMetric(run=job, phase=2, epoch=2, step=70, seconds=20.0)
    assert seconds_left(job, last_epoch=epoch, now=NOW) == pytest.approx(40.0)


@pytest.mark.parametrize(("done", "total"), [(0, 0), (0, 40), (40, 40)])
def test_nothing_is_estimated_without_a_pace(done: int, total: int) -> None:
    assert seconds_left(run(progress_done=done, progress_total=total), now=NOW) is None


def test_only_a_running_job_has_time_left() -> None:
    job = run(progress_done=10, progress_total=40)
    job.status = JobStatus.CANCELLED
    assert seconds_left(job, now=NOW) is None


def test_the_time_taken_ends_with_the_job() -> None:
    assert elapsed_seconds(TrainingRun()) is None
    assert elapsed_seconds(run(), now=NOW) == 30.0
    assert elapsed_seconds(run(finished_at=NOW - timedelta(seconds=10)), now=NOW) == 20.0

"""How far a job is, in terms a person thinks in."""

from __future__ import annotations

from training.choices import JobStatus
from training.jobs import Job
from training.services import has_worker

POLL_RUNNING_SECONDS = 1
POLL_QUEUED_SECONDS = 2


def state_key(job: Job) -> str:
    """Return the state that a page shows, as one word: a job that shall end but has not is `running-ending`."""
    is_ending = job.cancel_requested and not job.is_terminal
    return f"{job.status}-ending" if is_ending else str(job.status)


def poll_seconds(job: Job) -> int:
    """Return after how many seconds a page shall ask again; 0 when nothing will change any more."""
    if job.is_terminal:
        return 0
    return POLL_RUNNING_SECONDS if job.status == JobStatus.RUNNING else POLL_QUEUED_SECONDS


def is_waiting_in_vain(job: Job) -> bool:
    """Whether the job is queued and no worker is there that would take it."""
    return job.status == JobStatus.QUEUED and not has_worker(job.queue)

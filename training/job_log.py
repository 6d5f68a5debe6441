"""What a worker logs while it carries out a job tells which job that is."""

from __future__ import annotations

from contextlib import AbstractContextManager

from structlog.contextvars import bound_contextvars

from training.jobs import Job


def bind_job(job: Job) -> AbstractContextManager[None]:
    """Have every record name the claimed `job`: its kind, its number, the claim's fence and attempt, and the worker.

    Records of other threads do so too when they are started with a copy of the context (`contextvars.copy_context`).
    """
    return bound_contextvars(
        job_kind=job.kind(), job_id=job.pk, fence=job.fence, attempt=job.attempts, worker=job.worker
    )

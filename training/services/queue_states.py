"""The queues as an operator looks at them: which are paused, how many jobs wait and how many are at work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from training.choices import JobStatus, QueueName
from training.job_kinds import job_models
from training.models import JobQueue


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue.

    Attributes:
        name: Which.
        paused_at: When it was paused; None while it is not.
        paused_by: The name of who did; "" for the command line, or for an account that is gone.
        queued: How many jobs wait in it.
        running: How many of its jobs are at work.
    """

    name: QueueName
    paused_at: datetime | None
    paused_by: str
    queued: int
    running: int


def list_queues() -> list[QueueState]:
    """Return every queue, in a fixed number of queries."""
    rows = {row.name: row for row in JobQueue.objects.select_related("paused_by")}
    counts: Counter[tuple[QueueName, str]] = Counter()
    for kind in job_models():
        for status, count in kind.objects.active().order_by().values_list("status").annotate(jobs=Count("pk")):
            counts[kind.queue, status] += count
    states = []
    for name in QueueName:
        row = rows.get(name)
        states.append(
            QueueState(
                name=name,
                paused_at=row.paused_at if row else None,
                paused_by=row.paused_by.username if row and row.paused_by else "",
                queued=counts[name, JobStatus.QUEUED],
                running=counts[name, JobStatus.RUNNING],
            )
        )
    return states


def find_pause(name: QueueName) -> JobQueue | None:
    """Return a queue that is paused, with who paused it; None while it is not."""
    return JobQueue.objects.filter(name=name, paused_at__isnull=False).select_related("paused_by").first()

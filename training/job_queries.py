"""Queries that every kind of job answers: which wait, which may be taken, whose worker is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, ExpressionWrapper, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from training.choices import JobStatus
from training.job_queue import JobQueue


def lease_end() -> ExpressionWrapper[CombinedExpression]:
    """Return when a lease that starts now ends, by the database's clock: a worker's own may be wrong."""
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    return ExpressionWrapper(Now() + Value(lease), output_field=models.DateTimeField())


class JobQuerySet(models.QuerySet["Any"]):
    """Queries every kind of job answers."""

    def active(self) -> Self:
        """Jobs that still have something to do."""
        return self.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING])

    def claimable(self) -> Self:
        """Jobs that a worker may take now.

        Every condition is on the row itself or in an EXISTS, never a join: an UPDATE with a join would look its rows
        up in a sub-query, and Postgres would not look again after it waited for somebody else's UPDATE of the row.
        """
        paused = JobQueue.objects.filter(name=self.model.queue, paused_at__isnull=False)
        return self.filter(~Exists(paused), status=JobStatus.QUEUED, cancel_requested=False)

    def in_turn(self) -> Self:
        """Order jobs as they are taken: higher priority first, then the older request."""
        return self.order_by("-priority", "pk")

    def expired(self) -> Self:
        """Jobs whose worker let the lease expire."""
        return self.filter(status=JobStatus.RUNNING, lease_until__lt=Now())

    def reap_expired(self) -> int:
        """Take back jobs whose worker let the lease expire. Safe to run twice at once.

        Returns:
            How many jobs were taken back: queued again, failed as `worker_lost` or cancelled as had been asked.
        """
        return sum(self.model.reap(pk) for pk in list(self.expired().values_list("pk", flat=True)))

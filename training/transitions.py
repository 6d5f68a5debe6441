"""The history of jobs: one row for every change of state, written in the transaction that made the change."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from training.choices import Cause, JobStatus, Reason

if TYPE_CHECKING:
    from training.jobs import Job

REQUEST: Final = ""
"""Where a job comes from when it is asked for."""

LEGAL: Final[dict[Cause, tuple[tuple[str, str], ...]]] = {
    Cause.REQUESTED: ((REQUEST, JobStatus.QUEUED),),
    Cause.CLAIMED: ((JobStatus.QUEUED, JobStatus.RUNNING),),
    Cause.SUCCEEDED: ((JobStatus.RUNNING, JobStatus.SUCCEEDED),),
    Cause.FAILED: ((JobStatus.RUNNING, JobStatus.FAILED),),
    Cause.CANCELLED: ((JobStatus.QUEUED, JobStatus.CANCELLED), (JobStatus.RUNNING, JobStatus.CANCELLED)),
    Cause.RELEASED: ((JobStatus.RUNNING, JobStatus.QUEUED),),
    Cause.LOST: ((JobStatus.RUNNING, JobStatus.QUEUED), (JobStatus.RUNNING, JobStatus.FAILED)),
    Cause.LEASE_EXPIRED: (
        (JobStatus.RUNNING, JobStatus.QUEUED),
        (JobStatus.RUNNING, JobStatus.FAILED),
        (JobStatus.RUNNING, JobStatus.CANCELLED),
    ),
    Cause.RESUMED: ((JobStatus.FAILED, JobStatus.QUEUED), (JobStatus.CANCELLED, JobStatus.QUEUED)),
    Cause.DEPENDENCY: ((JobStatus.QUEUED, JobStatus.CANCELLED),),
}
"""All the changes there are: what may cause which. The database refuses any other row, and with it the change."""


def _is_legal() -> Q:
    changes = (
        Q(cause=cause, from_status=source, to_status=target)
        for cause, pairs in LEGAL.items()
        for source, target in pairs
    )
    return reduce(or_, changes)


class TransitionQuerySet(models.QuerySet["Transition"]):
    """Queries on the history."""

    def of(self, job: Job) -> Self:
        """The history of one job, the oldest change first."""
        return self.filter(job_kind=job.kind(), job_pk=job.pk).select_related("by").order_by("pk")


class Transition(models.Model):
    """One change of one job's state: what, when, who, why."""

    job_kind = models.CharField(_("kind of job"), max_length=32)  # the model's name
    job_pk = models.PositiveBigIntegerField(_("number"))
    from_status = models.CharField(_("from"), max_length=16, choices=JobStatus.choices, blank=True)
    to_status = models.CharField(_("to"), max_length=16, choices=JobStatus.choices)
    cause = models.CharField(_("cause"), max_length=16, choices=Cause.choices)
    at = models.DateTimeField(_("moment"), db_default=Now())  # the database's clock: workers' may differ
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    worker = models.CharField(_("worker"), max_length=255, blank=True, default="")
    fence = models.PositiveIntegerField(_("fence"), default=0)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    reason = models.CharField(_("reason"), max_length=32, choices=Reason.choices, blank=True, default="")
    detail = models.TextField(_("detail"), blank=True, default="")

    objects = TransitionQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of state")
        verbose_name_plural = _("changes of state")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["job_kind", "job_pk"], name="transition_of_job")]
        constraints = [models.CheckConstraint(condition=_is_legal(), name="legal_transition")]

    def __str__(self) -> str:
        return f"{self.job_kind} {self.job_pk}: {self.from_status or '∅'} → {self.to_status} ({self.cause})"

"""The lifecycle of anything long: states, claim, lease, fence, cancel. Every transition is one conditional UPDATE."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self, cast

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, ExpressionWrapper, F, Q, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext_lazy as _

from training.choices import TERMINAL_STATUSES, JobStatus, Reason
from training.exceptions import FenceLostError

LEASE = timedelta(seconds=45)
HEARTBEAT_SECONDS = 10.0
# Claims without checkpoint progress in between, after which a job that keeps losing its worker is given up.
MAX_ATTEMPTS = 3


def _database_now_plus(delta: timedelta) -> ExpressionWrapper[CombinedExpression]:
    """Return the database's clock plus `delta`: leases never depend on a worker's clock."""
    return ExpressionWrapper(Now() + Value(delta), output_field=models.DateTimeField())


class JobQuerySet(models.QuerySet["Any"]):
    """Queries every kind of job answers."""

    def active(self) -> Self:
        """Jobs that still have something to do."""
        return self.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING])

    def reap_expired(self) -> int:
        """Take back jobs whose worker let the lease expire. Safe to run twice at once.

        No job fits two of the three updates, so that one whose lease expires, or that is cancelled, between them is
        left to the next time.

        Returns:
            How many jobs were taken back: queued again, failed as `worker_lost` or cancelled as had been asked.
        """
        expired = self.filter(status=JobStatus.RUNNING, lease_until__lt=Now())
        exhausted = Q(attempts__gte=MAX_ATTEMPTS)
        cancelled = expired.filter(cancel_requested=True).update(
            status=JobStatus.CANCELLED, finished_at=Now(), lease_until=None
        )
        failed = expired.filter(exhausted, cancel_requested=False).update(
            status=JobStatus.FAILED,
            reason=Reason.WORKER_LOST,
            detail=f"The worker was lost {MAX_ATTEMPTS} times in a row without progress.",
            finished_at=Now(),
            lease_until=None,
        )
        requeued = expired.filter(~exhausted, cancel_requested=False).update(
            status=JobStatus.QUEUED, lease_until=None, worker=""
        )
        return cancelled + failed + requeued


class Job(models.Model):
    """One piece of long work. The row is the truth; a Celery message only says "look at row N".

    States and their only transitions::

        QUEUED ──claim──▶ RUNNING ──succeed──▶ SUCCEEDED
          │ ▲                │ ├────fail────▶ FAILED
          │ └─release, lease─┘ └───cancel───▶ CANCELLED
          └──────────────cancel─────────────▶ CANCELLED

    *Claim* raises `fence` by one and sets `lease_until` from the database's clock. Every later write of the worker
    carries its fence and the status RUNNING; a worker that lost the job changes no row and gets `FenceLostError`.
    `attempts` counts claims since the last checkpoint; a release at shutdown gives its claim back.
    """

    status = models.CharField(_("status"), max_length=16, choices=JobStatus.choices, default=JobStatus.QUEUED)
    reason = models.CharField(_("reason"), max_length=32, choices=Reason.choices, blank=True, default="")
    detail = models.TextField(_("detail"), blank=True, default="")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="%(class)ss",
    )
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)

    fence = models.PositiveIntegerField(_("fence"), default=0)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    worker = models.CharField(_("worker"), max_length=255, blank=True, default="")
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)

    progress_done = models.PositiveIntegerField(_("done"), default=0)
    progress_total = models.PositiveIntegerField(_("total"), default=0)
    progress_message = models.CharField(_("progress"), max_length=200, blank=True, default="")
    progress_at = models.DateTimeField(_("last progress"), null=True, blank=True)
    log_tail = models.TextField(_("last log lines"), blank=True, default="")

    objects: ClassVar[models.Manager[Any]] = JobQuerySet.as_manager()

    class Meta:
        abstract = True

    @property
    def memory_advice(self) -> str:
        """What was tried and what to change where memory is not enough, as the end of a sentence; "" for nothing."""
        return ""

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended and nothing about it will change."""
        return self.status in TERMINAL_STATUSES

    @property
    def progress_percent(self) -> int:
        """Share done, 0 to 100."""
        return min(100, 100 * self.progress_done // self.progress_total) if self.progress_total else 0

    @classmethod
    def claim(cls, pk: int, *, worker: str) -> Self | None:
        """Take the queued job `pk` for `worker`, or return None when it is not to be had (gone, taken, ended)."""
        with transaction.atomic():  # or a worker that pauses before it reads could read the fence of the next claim
            taken = cls.objects.filter(pk=pk, status=JobStatus.QUEUED, cancel_requested=False).update(
                status=JobStatus.RUNNING,
                fence=F("fence") + 1,
                attempts=F("attempts") + 1,
                worker=worker,
                lease_until=_database_now_plus(LEASE),
                started_at=Case(When(started_at=None, then=Now()), default=F("started_at")),
                progress_at=Now(),
            )
            return cast("Self", cls.objects.get(pk=pk)) if taken else None

    @classmethod
    def request_cancel(cls, pk: int) -> bool:
        """Ask for the end of job `pk`: at once when queued, within a heartbeat when running.

        One update serves both, because a job may go from one state to the other between two.

        Returns:
            False when the job had ended already.
        """
        is_queued = Q(status=JobStatus.QUEUED)
        asked = (
            cls.objects.active()
            .filter(pk=pk)
            .update(
                cancel_requested=True,
                status=Case(When(is_queued, then=Value(JobStatus.CANCELLED)), default=F("status")),
                finished_at=Case(When(is_queued, then=Now()), default=F("finished_at")),
            )
        )
        return bool(asked)

    def renew_lease(self) -> None:
        """Prove that the worker lives.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(lease_until=_database_now_plus(LEASE))

    def is_cancel_requested(self) -> bool:
        """Whether somebody asked for this job's end.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        flags = self._mine().values_list("cancel_requested", flat=True)
        if not flags:
            raise FenceLostError
        return bool(flags[0])

    def record_progress(self, *, done: int, total: int, message: str = "", **fields: object) -> None:
        """Store how far the work is (`done` of `total` units), with any other `fields`, as one write.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(
            progress_done=done, progress_total=total, progress_message=message[:200], progress_at=Now(), **fields
        )

    def record(self, **fields: object) -> None:
        """Store `fields` of the running job.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(**fields)

    def succeed(self, **fields: object) -> None:
        """RUNNING → SUCCEEDED.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(
            status=JobStatus.SUCCEEDED,
            finished_at=Now(),
            lease_until=None,
            progress_done=Greatest("progress_done", "progress_total"),
            **fields,
        )

    def fail(self, *, reason: Reason, detail: str, **fields: object) -> None:
        """RUNNING → FAILED, with the reason and one sentence for the owner.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(
            status=JobStatus.FAILED, reason=reason, detail=detail, finished_at=Now(), lease_until=None, **fields
        )

    def cancel(self, **fields: object) -> None:
        """RUNNING → CANCELLED, as had been asked.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(status=JobStatus.CANCELLED, finished_at=Now(), lease_until=None, **fields)

    def release(self, **fields: object) -> None:
        """RUNNING → QUEUED at a worker's shutdown; the claim does not count as an attempt.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._write(
            status=JobStatus.QUEUED, lease_until=None, worker="", attempts=Greatest(F("attempts") - 1, 0), **fields
        )

    def _mine(self) -> models.QuerySet[Self]:
        return type(self).objects.filter(pk=self.pk, status=JobStatus.RUNNING, fence=self.fence)

    def _write(self, **fields: object) -> None:
        if not self._mine().update(**fields):
            raise FenceLostError

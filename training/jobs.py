"""The lifecycle of anything long: states, claim, lease, fence, cancel. Every transition is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext_lazy as _

from training.choices import TERMINAL_STATUSES, Cause, JobStatus, Priority, QueueName, Reason
from training.doorbell import Bell
from training.endings import announce_end
from training.exceptions import FenceLostError
from training.job_queries import JobQuerySet, lease_end
from training.job_queue import JobQueue
from training.transitions import REQUEST, Transition

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

# Claims without checkpoint progress in between, after which a job that keeps losing its worker is given up.
MAX_ATTEMPTS = 3
_LOST_TOO_OFTEN = f"The worker was lost {MAX_ATTEMPTS} times in a row without progress."


class Job(models.Model):
    """One piece of long work. The row is the truth; a Celery message only says "look at the queue".

    States and their only transitions::

        ∅ ──submit──▶ QUEUED ──claim──▶ RUNNING ──succeed──▶ SUCCEEDED
                       │ ▲ ▲               │ │ ├────fail────▶ FAILED ─────┐
                       │ │ └─release, lose,┘ │ └───cancel───▶ CANCELLED ──┤
                       │ │    reap           └─lose or reap for the last  │
                       │ │                     time──▶ FAILED             │
                       │ └───────────────────resume───────────────────────┘
                       └──cancel, abandon──▶ CANCELLED

    *Claim* raises `fence` by one and sets `lease_until` from the database's clock. Every later write of the worker
    carries its fence and the status RUNNING; a worker that lost the job changes no row and gets `FenceLostError`.
    `attempts` counts claims since the last checkpoint; a release at shutdown gives its claim back.

    Nothing else changes `status`: each transition also writes its `Transition`, whose constraint knows the legal ones,
    in the same transaction. A running job has a lease and a job that has ended has a moment of its end; the database
    refuses other rows.
    """

    queue: ClassVar[QueueName] = QueueName.TRAINING
    task: ClassVar[str]  # Celery's name of what carries the job out
    upload_field: ClassVar[str] = ""  # which field names the upload that is the job's own, where there is one

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
    priority = models.SmallIntegerField(_("priority"), choices=Priority.choices, default=Priority.NORMAL)
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)
    cancel_requested_by = models.ForeignKey(  # empty as well when the command line asked
        settings.AUTH_USER_MODEL,
        verbose_name=_("cancel requested by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )

    fence = models.PositiveIntegerField(_("fence"), default=0)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    worker = models.CharField(_("worker"), max_length=255, blank=True, default="")
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)

    progress_done = models.PositiveIntegerField(_("done"), default=0)
    progress_total = models.PositiveIntegerField(_("total"), default=0)
    progress_message = models.CharField(_("progress"), max_length=200, blank=True, default="")
    progress_at = models.DateTimeField(_("last progress"), null=True, blank=True)
    log_tail = models.TextField(_("last log lines"), blank=True, default="")

    bell: Bell | None = None  # what came of waking a worker when this object was queued

    objects: ClassVar[models.Manager[Any]] = JobQuerySet.as_manager()

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["status", "-priority", "id"], name="%(class)s_turn")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=JobStatus.RUNNING, lease_until__isnull=False)
                | (~Q(status=JobStatus.RUNNING) & Q(lease_until__isnull=True)),
                name="%(class)s_runs_on_lease",
            ),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL_STATUSES, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL_STATUSES) & Q(finished_at__isnull=True)),
                name="%(class)s_ended_at_a_time",
            ),
        ]

    @property
    def memory_advice(self) -> str:
        """What was tried and what to change where memory is not enough, as the end of a sentence; "" for nothing."""
        return ""

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; only a person who resumes it changes anything about that."""
        return self.status in TERMINAL_STATUSES

    @property
    def progress_percent(self) -> int:
        """Share done, 0 to 100."""
        return min(100, 100 * self.progress_done // self.progress_total) if self.progress_total else 0

    @classmethod
    def kind(cls) -> str:
        """Return the name of this kind of job, as its history has it."""
        return str(cls._meta.model_name)

    @classmethod
    def uploads_in_use(cls) -> Iterable[str]:
        """Return the uploads without which a job of this kind could not be carried out any more."""
        return ()

    @classmethod
    def dispensable_uploads(cls) -> Iterable[str]:
        """Return the uploads of ended jobs of this kind that were kept for long enough."""
        return ()

    def submit(self) -> None:
        """∅ → QUEUED: insert the row and the first entry of its history."""
        with transaction.atomic():
            self.save(force_insert=True)
            self._note(self.pk, source=REQUEST, cause=Cause.REQUESTED, by_id=self.owner_id)

    @classmethod
    def claim(cls, pk: int, *, worker: str) -> Self | None:
        """QUEUED → RUNNING: take job `pk` for `worker`, or return None when it is not to be had (gone, taken, ended).

        The fence is read in the transaction that raised it, or a worker that pauses before it reads could read the
        fence of the next claim.
        """
        with transaction.atomic():
            JobQueue.hold(cls.queue)
            moved = cls._move(
                pk,
                cls.objects.claimable(),
                source=JobStatus.QUEUED,
                to=JobStatus.RUNNING,
                cause=Cause.CLAIMED,
                fence=F("fence") + 1,
                attempts=F("attempts") + 1,
                worker=worker,
                lease_until=lease_end(),
                started_at=Case(When(started_at=None, then=Now()), default=F("started_at")),
                progress_at=Now(),
            )
            return cast("Self", cls.objects.get(pk=pk)) if moved else None

    @classmethod
    def request_cancel(cls, pk: int, *, by: User | None = None) -> bool:
        """Ask for the end of job `pk`: at once when queued, within a heartbeat when running.

        One update serves both, because a job may go from one state to the other between two.

        Args:
            pk: The job.
            by: Who asks; None for the command line.

        Returns:
            False when the job had ended already.
        """
        is_queued = Q(status=JobStatus.QUEUED)
        with transaction.atomic():
            asked = (
                cls.objects.active()
                .filter(pk=pk)
                .update(
                    cancel_requested=True,
                    cancel_requested_by=by,
                    status=Case(When(is_queued, then=Value(JobStatus.CANCELLED)), default=F("status")),
                    reason=Case(When(is_queued, then=Value(Reason.CANCELLED)), default=F("reason")),
                    finished_at=Case(When(is_queued, then=Now()), default=F("finished_at")),
                )
            )
            if asked and cls.objects.filter(pk=pk, status=JobStatus.CANCELLED).exists():
                cls._note(pk, source=JobStatus.QUEUED, cause=Cause.CANCELLED)
        return bool(asked)

    @classmethod
    def drop_cancelled(cls, pk: int) -> bool:
        """QUEUED → CANCELLED of a job that was given back in the moment in which its end was asked for."""
        asked = cls.objects.filter(cancel_requested=True)
        return cls._end(
            pk,
            asked,
            source=JobStatus.QUEUED,
            to=JobStatus.CANCELLED,
            cause=Cause.CANCELLED,
            reason=Reason.CANCELLED,
        )

    @classmethod
    def abandon(cls, pk: int, *, detail: str) -> bool:
        """QUEUED → CANCELLED because what job `pk` waits for will not come.

        Returns:
            False when it does not wait any more.
        """
        return cls._end(
            pk,
            cls.objects.all(),
            source=JobStatus.QUEUED,
            to=JobStatus.CANCELLED,
            cause=Cause.DEPENDENCY,
            reason=Reason.DEPENDENCY,
            detail=detail,
        )

    @classmethod
    def resume(cls, pk: int, *, by: User | None) -> bool:
        """FAILED or CANCELLED → QUEUED: a person lets job `pk` go on from where it stopped, with all its attempts.

        Returns:
            False when it is in neither state (any more).
        """
        return any(
            cls._move(
                pk,
                cls.objects.all(),
                source=source,
                to=JobStatus.QUEUED,
                cause=Cause.RESUMED,
                by_id=by.pk if by else None,
                attempts=0,
                worker="",
                reason="",
                detail="",
                finished_at=None,
                cancel_requested=False,
                cancel_requested_by=None,
            )
            for source in (JobStatus.FAILED, JobStatus.CANCELLED)
        )

    @classmethod
    def reap(cls, pk: int) -> bool:
        """RUNNING → QUEUED, FAILED or CANCELLED when the lease of job `pk` has expired.

        No job fits two of the three updates, so that one whose lease expires, or that is cancelled, between them is
        left to the next time.

        Returns:
            Whether it was taken back.
        """
        expired = cls.objects.expired()
        goes_on, exhausted = expired.filter(cancel_requested=False), Q(attempts__gte=MAX_ATTEMPTS)
        running, cause = JobStatus.RUNNING, Cause.LEASE_EXPIRED
        return (
            cls._end(
                pk,
                expired.filter(cancel_requested=True),
                source=running,
                to=JobStatus.CANCELLED,
                cause=cause,
                reason=Reason.CANCELLED,
            )
            or cls._end(
                pk,
                goes_on.filter(exhausted),
                source=running,
                to=JobStatus.FAILED,
                cause=cause,
                reason=Reason.WORKER_LOST,
                detail=_LOST_TOO_OFTEN,
            )
            or cls._move(
                pk, goes_on.filter(~exhausted), source=running, to=JobStatus.QUEUED, cause=cause, **_back_in_queue()
            )
        )

    def renew_lease(self) -> None:
        """Prove that the worker lives.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self.record(lease_until=lease_end())

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
        self.record(
            progress_done=done, progress_total=total, progress_message=message[:200], progress_at=Now(), **fields
        )

    def record(self, **fields: object) -> None:
        """Store `fields` of the running job; its state is changed by the methods below.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        if "status" in fields:
            message = "A job's state is changed by its transitions alone."
            raise TypeError(message)
        if not self._mine().update(**fields):
            raise FenceLostError

    def succeed(self, **fields: object) -> None:
        """RUNNING → SUCCEEDED.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        done = Greatest("progress_done", "progress_total")
        self._finish(JobStatus.SUCCEEDED, cause=Cause.SUCCEEDED, progress_done=done, **fields)

    def fail(self, *, reason: Reason, detail: str, **fields: object) -> None:
        """RUNNING → FAILED, with the reason and one sentence for the owner.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._finish(JobStatus.FAILED, cause=Cause.FAILED, reason=reason, detail=detail, **fields)

    def cancel(self, **fields: object) -> None:
        """RUNNING → CANCELLED, as had been asked.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._finish(JobStatus.CANCELLED, cause=Cause.CANCELLED, reason=Reason.CANCELLED, **fields)

    def release(self) -> None:
        """RUNNING → QUEUED at a worker's shutdown; the claim does not count as an attempt.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self._give_back(cause=Cause.RELEASED, attempts=Greatest(F("attempts") - 1, 0))

    def lose(self, *, reason: Reason, detail: str) -> None:
        """RUNNING → QUEUED after its process was killed, or FAILED when that was the last attempt.

        Raises:
            FenceLostError: the job is no longer this worker's.
        """
        self.refresh_from_db(fields=["attempts"])
        if self.attempts < MAX_ATTEMPTS:
            self._give_back(cause=Cause.LOST, told={"reason": reason, "detail": detail})
        else:
            self._finish(JobStatus.FAILED, cause=Cause.LOST, reason=reason, detail=detail)

    def _mine(self) -> models.QuerySet[Self]:
        return type(self).objects.filter(pk=self.pk, status=JobStatus.RUNNING, fence=self.fence)

    def _finish(self, status: JobStatus, *, cause: Cause, **fields: object) -> None:
        if not self._end(self.pk, self._mine(), source=JobStatus.RUNNING, to=status, cause=cause, **fields):
            raise FenceLostError

    def _give_back(self, *, cause: Cause, told: Mapping[str, str] | None = None, **fields: object) -> None:
        change: dict[str, Any] = {**_back_in_queue(), **fields}
        told = {"worker": self.worker, **(told or {})}  # the row forgets them
        source, to = JobStatus.RUNNING, JobStatus.QUEUED
        if not self._move(self.pk, self._mine(), source=source, to=to, cause=cause, told=told, **change):
            raise FenceLostError

    @classmethod
    def _end(cls, pk: int, rows: models.QuerySet[Any], **change: Any) -> bool:  # noqa: ANN401 - `_move`'s own
        return cls._move(pk, rows, finished_at=Now(), lease_until=None, **change)

    @classmethod
    def _move(
        cls,
        pk: int,
        rows: models.QuerySet[Any],
        *,
        source: JobStatus,
        to: JobStatus,
        cause: Cause,
        by_id: int | None = None,
        told: Mapping[str, str] | None = None,
        **fields: object,
    ) -> bool:
        """Change the state of job `pk`, if it is in state `source` and among `rows`, and note that in its history.

        `told` goes into the history alone.
        """
        with transaction.atomic(savepoint=False):
            moved = rows.filter(pk=pk, status=source).update(status=to, **fields)
            if moved:
                cls._note(pk, source=source, cause=cause, by_id=by_id, told=told)
        return bool(moved)

    @classmethod
    def _note(
        cls, pk: int, *, source: str, cause: Cause, by_id: int | None = None, told: Mapping[str, str] | None = None
    ) -> None:
        row = cls.objects.values(
            "status", "fence", "attempts", "worker", "reason", "detail", "cancel_requested_by", "owner"
        ).get(pk=pk)
        cancelled_by = row["cancel_requested_by"] if row["status"] == JobStatus.CANCELLED else None
        known = {name: row[name] for name in ("worker", "fence", "reason", "detail")}
        change = Transition.objects.create(
            job_kind=cls.kind(),
            job_pk=pk,
            from_status=source,
            to_status=row["status"],
            cause=cause,
            by_id=by_id or cancelled_by,
            attempt=row["attempts"],
            **{**known, **(told or {})},
        )
        if change.to_status in TERMINAL_STATUSES:
            announce_end(change, row["owner"])


def _back_in_queue() -> dict[str, Any]:
    return {"lease_until": None, "worker": ""}

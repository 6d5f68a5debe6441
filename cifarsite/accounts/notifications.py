"""Notifications: written when a job ends, read by its owner. The page, the API and the deliveries all call these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from cifarsite.accounts.models import Channel, Delivery, Notification, User
from training.choices import JobStatus, Reason
from training.doorbell import ring
from training.job_kinds import job_models
from training.models import Transition

DELIVER: Final = "accounts.deliver"
"""Celery's name of what carries one delivery out."""

_PAGES: Final = {
    "trainingrun": "run",
    "datasetimport": "import_detail",
    "evaluation": "evaluation",
    "batchjob": "batch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notification in words.

    Attributes:
        id: Its key.
        kind: The kind of job, as the history calls it.
        job_id: The job's number.
        job: What the job is called.
        status: How it ended.
        reason: Why it ended other than well; "" for nothing.
        at: When.
        is_read: Whether its owner has seen it.
        path: The job's page; "" when the job is gone.
    """

    id: int
    kind: str
    job_id: int
    job: str
    status: JobStatus
    reason: str
    at: datetime
    is_read: bool
    path: str

    @property
    def title(self) -> str:
        """What it says, in one line."""
        return _("%(job)s: %(state)s") % {"job": self.job, "state": self.status.label}

    @property
    def reason_text(self) -> str:
        """Why it ended other than well, in words."""
        return str(Reason(self.reason).label) if self.reason else ""


def notify_owner(change: Transition, owner_id: int | None) -> None:
    """Write the notification of a job's end, and what is to go out; a person is not told of what they did themselves.

    To be called in the transaction that ends the job: both are there, or neither.
    """
    if owner_id is None or change.by_id == owner_id:
        return
    notification = Notification.objects.create(owner_id=owner_id, transition=change)
    for channel in _channels_of(owner_id):
        delivery = Delivery.objects.create(notification=notification, channel=channel, due_at=Now())
        ring(DELIVER, delivery.pk)
    User.objects.filter(pk=owner_id).update(unread_notifications=F("unread_notifications") + 1)


def _channels_of(owner_id: int) -> list[Channel]:
    wants_mail, webhook = User.objects.values_list("wants_mail", "webhook").get(pk=owner_id)
    return [channel for channel, is_wanted in ((Channel.MAIL, wants_mail), (Channel.WEBHOOK, webhook)) if is_wanted]


def mark_read(*, owner: User, pk: int | None = None) -> int:
    """Note that a person has seen a notification of theirs, or all of them.

    Args:
        owner: Whose.
        pk: Which; None for all.

    Returns:
        How many were unread until now.
    """
    unread = Notification.objects.filter(owner=owner).unread()
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=owner.pk).values_list("pk").first()  # one that ends a job waits
        marked = (unread if pk is None else unread.filter(pk=pk)).update(read_at=Now())
        owner.unread_notifications = unread.count()
        owner.save(update_fields=["unread_notifications"])
    return marked


def describe(notifications: Iterable[Notification]) -> list[Notice]:
    """Put notifications into words in the active language; at most one query for each kind of job."""
    rows = list(notifications)
    names = _name_jobs([row.transition for row in rows])
    return [_describe(row, names.get((row.transition.job_kind, row.transition.job_pk), "")) for row in rows]


def _describe(row: Notification, name: str) -> Notice:
    change = row.transition
    page = _PAGES.get(change.job_kind)
    return Notice(
        id=row.pk,
        kind=change.job_kind,
        job_id=change.job_pk,
        job=name or _("Deleted job %(number)s") % {"number": change.job_pk},
        status=JobStatus(change.to_status),
        reason=change.reason,
        at=change.at,
        is_read=row.read_at is not None,
        path=reverse(page, args=[change.job_pk]) if page and name else "",
    )


def _name_jobs(changes: Sequence[Transition]) -> dict[tuple[str, int], str]:
    keys: dict[str, list[int]] = defaultdict(list)
    for change in changes:
        keys[change.job_kind].append(change.job_pk)
    models: dict[str, Any] = {model.kind(): model for model in job_models()}
    return {
        (kind, job.pk): str(job)
        for kind, wanted in keys.items()
        if kind in models
        for job in models[kind].objects.filter(pk__in=wanted).defer("log_tail")
    }

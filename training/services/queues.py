"""The order in which jobs are taken, and what keeps a queue from being taken at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.choices import JobStatus, Priority, QueueName
from training.exceptions import ServiceError
from training.jobs import Job
from training.models import JobQueue, TrainingRun
from training.services.access import require_steering

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

logger = logging.getLogger(__name__)


def pause_queue(*, name: QueueName, by: User | None) -> None:
    """Let a queue take in jobs and start none; what runs goes on.

    Args:
        name: The queue.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: they may not.
        ServiceError: it is paused already.
    """
    _require_operator(by)
    with transaction.atomic():
        if JobQueue.hold(name).paused_at is not None:
            raise ServiceError(_("The queue “%(queue)s” is paused already.") % {"queue": name.label})
        JobQueue.objects.filter(name=name).update(paused_at=Now(), paused_by=by)
    logger.info("Queue %s was paused by %s", name, by or "the command line")


def unpause_queue(*, name: QueueName, by: User | None) -> None:
    """Let a queue start jobs again; the sweeper wakes a worker within seconds.

    Args:
        name: The queue.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: they may not.
        ServiceError: it is not paused.
    """
    _require_operator(by)
    if not JobQueue.objects.filter(name=name, paused_at__isnull=False).update(paused_at=None, paused_by=None):
        raise ServiceError(_("The queue “%(queue)s” is not paused.") % {"queue": name.label})
    logger.info("Queue %s goes on, as %s asked", name, by or "the command line")


def set_priority(*, job: Job, priority: Priority, by: User | None) -> None:
    """Let a job that waits be taken earlier or later.

    Args:
        job: The job.
        priority: The new priority; a high one is for operators to give.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: it is somebody else's job, or the priority is not for them to give.
        ServiceError: it does not wait any more.
    """
    require_steering(job, by)
    require_priority(priority, by=by)
    if not type(job).objects.filter(pk=job.pk, status=JobStatus.QUEUED).update(priority=priority):
        raise ServiceError(_("%(job)s does not wait any more.") % {"job": job})


def require_priority(priority: Priority, *, by: User | None) -> None:
    """Make sure that `by` may give a priority; None, the command line, may.

    Raises:
        PermissionDenied: only operators let jobs overtake those of others.
    """
    if priority > Priority.NORMAL:
        _require_operator(by)


def require_room_for(owner: User | None) -> None:
    """Make sure that a user has fewer runs under way than are allowed. Nobody's runs are not counted.

    Raises:
        ServiceError: they have not.
    """
    limit = settings.USER_ACTIVE_RUNS
    if not limit or owner is None:
        return
    JobQueue.hold(QueueName.TRAINING)  # or two requests at once could each find room for one
    if TrainingRun.objects.active().filter(owner=owner).count() >= limit:
        sentence = ngettext(
            "You have %(count)d run under way, the most that is allowed: wait for its end, or cancel it.",
            "You have %(count)d runs under way, the most that is allowed: wait for the end of one, or cancel one.",
            limit,
        )
        raise ServiceError(sentence % {"count": limit})


def _require_operator(by: User | None) -> None:
    if by is not None and not by.has_perm("training.manage_trainingrun"):
        raise PermissionDenied

"""Who may stop, resume and reorder whose jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied

from training.jobs import Job

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


def may_steer(job: Job, user: User) -> bool:
    """Whether `user` may stop, resume or reorder a job: their own, or anybody's with the permission for that."""
    return job.owner_id == user.pk or user.has_perm("training.manage_trainingrun")


def require_steering(job: Job, by: User | None) -> None:
    """Make sure that `by` may steer `job`; None, the command line, may.

    Raises:
        PermissionDenied: it is somebody else's.
    """
    if by is not None and not may_steer(job, by):
        raise PermissionDenied

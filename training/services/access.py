"""Who may stop whose jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.jobs import Job

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


def may_cancel(job: Job, user: User) -> bool:
    """Whether `user` may stop a run or an import: their own, or anybody's with the permission for that."""
    return job.owner_id == user.pk or user.has_perm("training.manage_trainingrun")

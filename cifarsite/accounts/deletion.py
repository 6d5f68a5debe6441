"""Deleting an account with everything that is its owner's alone. What is shared stays, without their name."""

from __future__ import annotations

from functools import partial
from typing import Final

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from cifarsite.accounts.groups import ADMINISTRATOR
from cifarsite.accounts.models import User
from classifier.history import delete_wanted
from classifier.models import BatchItem, BatchJob
from classifier.querysets import Wanted
from training.exceptions import ServiceError
from training.job_kinds import job_models
from training.models import Transition
from training.services.uploads import drop_upload

FORMER: Final = "(deleted)"
"""Name of the closed account to which the admin panel's history goes; its brackets let nobody sign up under it."""


class LastAdministratorError(ServiceError):
    """Nobody would be left to look after the site."""


class FormerAccountError(ServiceError):
    """The account that stands for those that are gone."""


def administrators() -> QuerySet[User]:
    """Return the open accounts that may do everything."""
    members = User.objects.filter(groups__name=ADMINISTRATOR).values("pk")
    return User.objects.filter(Q(is_superuser=True) | Q(pk__in=members), is_active=True)


def is_last_administrator(user: User) -> bool:
    """Whether nobody else could look after the site."""
    keys = set(administrators().values_list("pk", flat=True))
    return keys == {user.pk}


def delete_account(*, user: User) -> None:
    """Delete a person's account and data: history with pictures and files, batches, tokens, notifications, sessions.

    Their live jobs are cancelled. The history goes in many transactions, so that others write in between; a deletion
    that is cut short there goes on when it is asked for again. Runs, imports, datasets and model versions are shared,
    and stay without an owner; so do the entries of their histories. Batches are private, and go with their histories
    and archives. What they did in the admin panel stays in its history, under the account `FORMER`.

    Raises:
        FormerAccountError: it is that account.
        LastAdministratorError: nobody would be left to look after the site.
    """
    if user.username == FORMER:
        raise FormerAccountError(_("This account stands for those that are gone in the admin panel’s history."))
    with transaction.atomic():
        _hold_jobs(user)
        _require_successor(user)
        _cancel_jobs(user)
    _delete_history(user)
    with transaction.atomic():
        _hold_jobs(user)
        _require_successor(user)
        _hold_account(user)
        _cancel_jobs(user)  # what was asked for since
        _hand_over_log(user)
        for archive in BatchJob.objects.filter(owner=user).exclude(archive="").values_list("archive", flat=True):
            transaction.on_commit(partial(drop_upload, archive))
        _delete_private_rows(user)
        user.delete()  # with tokens, sessions and notifications


def _hold_jobs(user: User) -> None:
    """Hold a person's jobs before their account: a worker that ends one holds the job, then asks for its owner."""
    for model in job_models():
        list(model.objects.select_for_update().filter(owner=user).order_by("pk").values_list("pk"))


def _hold_account(user: User) -> None:
    """Hold the account's row wholly: nothing that names it as its owner is committed from now on."""
    User.objects.select_for_update().filter(pk=user.pk).values_list("pk").first()


def _cancel_jobs(user: User) -> None:
    for model in job_models():
        for pk in model.objects.active().filter(owner=user).values_list("pk", flat=True):
            model.request_cancel(pk, by=user)


def _hand_over_log(user: User) -> None:
    """Let the admin panel's history outlive who made it, without their name."""
    entries = LogEntry.objects.filter(user=user)
    if entries.exists():
        closed = {"is_active": False, "password": make_password(None)}
        former, _made = User.objects.get_or_create(username=FORMER, defaults=closed)
        entries.update(user=former)


def _require_successor(user: User) -> None:
    """Hold the administrators' rows, so that two cannot leave at the same moment, and the account's own.

    Raises:
        LastAdministratorError: they are the only one.
    """
    held = Q(pk__in=administrators().values("pk")) | Q(pk=user.pk)
    list(User.objects.select_for_update(no_key=True).filter(held).order_by("pk").values_list("pk"))
    if is_last_administrator(user):
        raise LastAdministratorError(
            _("You are the only administrator. Make somebody else one first, or nobody could look after the site.")
        )


def _delete_private_rows(user: User) -> None:
    """Delete batches, and what was classified since the history went; the rest goes with the account's row."""
    batches = BatchJob.objects.filter(owner=user)
    Transition.objects.filter(job_kind=BatchJob.kind(), job_pk__in=batches.values("pk")).delete()
    BatchItem.objects.filter(batch__in=batches).delete()
    batches.delete()
    _delete_history(user)


def _delete_history(user: User) -> None:
    while delete_wanted(owner=user, wanted=Wanted())[1]:
        pass

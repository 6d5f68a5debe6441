"""Evaluations of model versions: request and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from training.doorbell import EXECUTE_EVALUATION, ring
from training.exceptions import ServiceError
from training.models import Dataset, Evaluation, ModelVersion
from training.services.access import require_steering
from training.services.room import LEAST_FREE_BYTES, require_free_bytes

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


def request_evaluation(
    *,
    owner: User | None,
    version: ModelVersion,
    dataset: Dataset,
    with_augmentation: bool = False,
    announce: bool = True,
) -> Evaluation:
    """Queue the measuring of a version on the test images of a dataset.

    Args:
        owner: Who asks; None for the command line.
        version: What is measured.
        dataset: With the version's classes, in the same order.
        with_augmentation: Whether test-time augmentation is measured as well: six times the work.
        announce: Whether to wake a worker; not when the caller carries it out itself.

    Raises:
        ServiceError: the classes differ, the version is being measured on the dataset already, or the disk is full.
    """
    names = {"version": version, "dataset": dataset}
    if version.class_keys != dataset.class_keys:
        raise ServiceError(_("%(version)s knows other classes than the dataset “%(dataset)s” has.") % names)
    require_free_bytes(LEAST_FREE_BYTES)
    evaluation = Evaluation(owner=owner, version=version, dataset=dataset, with_augmentation=with_augmentation)
    try:
        with transaction.atomic():
            evaluation.submit()
    except IntegrityError as error:
        message = _("%(version)s is being evaluated on the dataset “%(dataset)s” already.") % names
        raise ServiceError(message) from error
    if announce:
        evaluation.bell = ring(EXECUTE_EVALUATION, evaluation.pk)
    return evaluation


def cancel_evaluation(*, evaluation: Evaluation, by: User | None) -> None:
    """Ask for an evaluation's end: at once when it is queued, within seconds when it is running.

    Args:
        evaluation: The evaluation.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: it is somebody else's.
        ServiceError: it has ended already.
    """
    require_steering(evaluation, by)
    if not Evaluation.request_cancel(evaluation.pk, by=by):
        raise ServiceError(_("%(evaluation)s has ended already.") % {"evaluation": evaluation})


def find_evaluable(version: ModelVersion) -> QuerySet[Dataset]:
    """Return the datasets that a version can be evaluated on, by name, without what is long of them."""
    datasets = Dataset.objects.filter(manifest__class_keys=version.class_keys)
    return datasets.defer("manifest", "checks").order_by("name")

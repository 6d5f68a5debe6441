"""Datasets: what was found in them, and what a person accepted of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from training.engine.data_checks import REPORT_NAME, summarize_report, write_report
from training.exceptions import ServiceError
from training.models import Dataset
from training.store import publish

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


logger = logging.getLogger(__name__)


def accept_copies(*, dataset: Dataset, by: User | None) -> None:
    """Let runs use a dataset although test images of it are exact copies of training images; once and for good.

    Args:
        dataset: The dataset.
        by: Who accepts; None for the command line.

    Raises:
        PermissionDenied: they may not.
        ServiceError: there is nothing to accept, or it was accepted already.
    """
    if by is not None and not by.has_perm("training.accept_dataset_copies"):
        raise PermissionDenied
    if not dataset.has_copies:
        raise ServiceError(_("No test image of %(dataset)s is a copy of a training image.") % {"dataset": dataset})
    unaccepted = Dataset.objects.filter(pk=dataset.pk, copies_accepted_at=None)
    if not unaccepted.update(copies_accepted_at=Now(), copies_accepted_by=by):
        raise ServiceError(_("The copies in %(dataset)s were accepted already.") % {"dataset": dataset})
    dataset.refresh_from_db()
    logger.info("The exact copies in %s were accepted by %s", dataset, by or "the command line")


def record_checks(*, dataset: Dataset, report: Mapping[str, Any]) -> None:
    """Store a new report of a dataset's checks, beside its files and in its row.

    Raises:
        ServiceError: the report cannot be written.
    """
    try:
        write_report(report, dataset.path / REPORT_NAME)
        publish(dataset.location)
    except OSError as error:
        raise ServiceError(_("The report could not be stored: %(why)s.") % {"why": error.strerror}) from error
    dataset.checks = summarize_report(report)
    dataset.save(update_fields=["checks"])

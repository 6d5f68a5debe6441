"""MLflow against the database. Apart from the other checks: those can be made without what speaks to MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.conf import settings
from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.mirror_audit import find_mirror_mismatches, tell_again
from training.tracking import MlflowUnavailableError


def check_mirror() -> Iterator[Finding]:
    """MLflow has every run, figure and package once, and names the champion; nothing where nothing is tracked."""
    if not settings.MLFLOW_TRACKING_URI:
        return
    try:
        mismatches = find_mirror_mismatches()
    except MlflowUnavailableError as error:
        yield Finding(kind="unchecked", subject="MLflow", sentence=str(error))
        return
    for mismatch in mismatches:
        repair = None if mismatch.run is None else partial(_tell_again, mismatch.run)
        yield Finding(kind="mlflow_differs", subject="MLflow", sentence=mismatch.what, repair=repair)


def _tell_again(run: int) -> str:
    tell_again(run)
    return _("It is told again within minutes.")

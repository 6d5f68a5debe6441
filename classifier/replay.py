"""Answering a version's golden samples before it may answer people: the classifier's say in promotions and imports."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from classifier.inference import ModelNotReady, load_predictor
from training.exceptions import PackageRefusedError, ServiceError
from training.models import ModelVersion

APART_SECONDS: Final = 120.0
"""By the clock on the wall; its processor's time is bounded by the process itself."""

logger = logging.getLogger(__name__)


def replay_golden_samples(version: ModelVersion) -> None:
    """Load a version as the web will, and compare its answers with those that travel in its package.

    Raises:
        ServiceError: it cannot be loaded, or answers otherwise.
    """
    try:
        load_predictor(version)
    except ModelNotReady as error:
        logger.warning("%s", error)
        message = _("%(version)s cannot be promoted: it does not answer here as it did when it was made.")
        raise ServiceError(message % {"version": version}) from error


def replay_apart(package: Path) -> None:
    """Do the same with a package that nobody knows yet, in a process with bounds (`classifier.replay_process`).

    Raises:
        PackageRefusedError: it cannot be loaded, answers otherwise, or asks for too much memory or time.
    """
    command = [sys.executable, "-m", "classifier.replay_process", str(package.resolve())]
    try:
        ended = subprocess.run(
            command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=APART_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PackageRefusedError(_("The package is refused. Its model takes too long to answer.")) from error
    if ended.returncode == 0:
        return
    logger.warning("A package from elsewhere is refused (%d): %s", ended.returncode, ended.stderr[-2000:])
    if ended.returncode == 1 and "cannot serve" in ended.stderr:
        message = _("The package is refused. Its model does not answer here as its manifest says.")
    else:
        message = _("The package is refused. Its model cannot be run within the memory and time that it is given.")
    raise PackageRefusedError(message)

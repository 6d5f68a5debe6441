"""Answering a package's golden samples before it may answer people: the classifier's say in promotions and imports."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from classifier.inference import SCORE_FUNCTIONS, replay_golden_samples
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, verify_package
from training.exceptions import PackageRefusedError, ServiceError
from training.models import ModelVersion

APART_SECONDS: Final = 120.0
"""By the clock on the wall; its processor's time is bounded by the process itself."""

DIFFERS: Final = 3
"""Exit code of a replay whose answers are not those of the manifest."""

logger = logging.getLogger(__name__)


def replay(package: PackageManifest) -> None:
    """Compile a verified package and compare its answers with those that travel in its manifest.

    Raises:
        PackageError: they differ, or it names a score that is not known here.
        RuntimeError: OpenVINO cannot read the graph.
    """
    from classifier.inference_plan import AUTO  # noqa: PLC0415  # 45 MB that most processes do without
    from classifier.openvino_runtime import Network, Plan  # noqa: PLC0415  # the same

    if package.raw["out_of_distribution"]["score"] not in SCORE_FUNCTIONS:
        raise PackageError(f"The manifest's out-of-distribution score is none of {', '.join(SCORE_FUNCTIONS)}.")
    precision = settings.INFERENCE_PRECISION
    plan = Plan("f32" if precision == AUTO else precision, settings.INFERENCE_THREADS or 1)
    replay_golden_samples(package, Network(package, plan=plan))


def replay_version(version: ModelVersion) -> None:
    """Replay the package of a version that is to answer.

    Raises:
        ServiceError: it cannot be loaded, or answers otherwise.
    """
    try:
        replay(verify_package(version.path))
    except (PackageError, OSError, RuntimeError, ValueError) as error:
        logger.warning("%s cannot be promoted: %s", version, error)
        message = _("%(version)s cannot be promoted: it does not answer here as it did when it was made.")
        raise ServiceError(message % {"version": version}) from error


def replay_apart(package: Path) -> None:
    """Replay a package that nobody knows yet, in a process with bounds (`classifier.replay_process`).

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
    if ended.returncode == DIFFERS:
        raise PackageRefusedError(_("The package is refused. Its model does not answer here as its manifest says."))
    message = _("The package is refused. Its model cannot be run with the memory and the time that it is given.")
    raise PackageRefusedError(message)

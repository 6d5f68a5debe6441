"""What has to hold before a version may answer: its package, its answers, its classes, its accuracy.

That the package answers here as it did when it was made can only be told by who serves it. This application does not
know who that is: `register_replay` is how it is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.exceptions import ClassesDifferError, ReasonNeededError, ServiceError
from training.models import ModelVersion

Replay = Callable[[ModelVersion], None]
"""Answers a version's golden samples as they will be answered for people; raises ServiceError when that differs."""

ReplayApart = Callable[[Path], None]
"""The same for a folder whose content nobody knows yet: in a process of its own, with bounds."""

_SHOWN_CLASSES: Final = 12
_replays: Final[dict[Replay, ReplayApart]] = {}

logger = logging.getLogger(__name__)


def register_replay(replay: Replay, *, apart: ReplayApart) -> None:
    """Let somebody have their say before a version may answer; for an application's start.

    Args:
        replay: Is asked before a promotion.
        apart: Is asked before a package from elsewhere is taken.
    """
    _replays[replay] = apart


def require_replayed_apart(package: Path) -> None:
    """Make sure that a package from elsewhere answers its golden samples.

    Raises:
        ServiceError: it does not.
    """
    for apart in _replays.values():
        apart(package)


def require_serviceable(version: ModelVersion) -> None:
    """Make sure that a version's package is what was registered, and answers its golden samples.

    Raises:
        ServiceError: it is not, or does not.
    """
    try:
        manifest = verify_package(version.path)
    except (PackageError, OSError) as error:
        logger.warning("%s cannot be promoted: %s", version, error)
        message = _("%(version)s cannot be promoted: its files are not those that were registered.")
        raise ServiceError(message % {"version": version}) from error
    if manifest.sha256 != version.package_sha256:
        message = _("%(version)s cannot be promoted: its folder holds another model.")
        raise ServiceError(message % {"version": version})
    for replay in _replays:
        replay(version)


def require_consent(version: ModelVersion, *, champion: ModelVersion, accept_class_change: bool, reason: str) -> None:
    """Make sure that what would surprise people was asked for.

    Raises:
        ClassesDifferError: the version knows other classes, and that was not accepted.
        ReasonNeededError: it is not known to be as accurate as the champion, and no reason was given.
    """
    if champion.class_keys != version.class_keys and not accept_class_change:
        raise ClassesDifferError(_describe_class_change(champion, version))
    needed = "" if reason else explain_needed_reason(version, champion=champion)
    if needed:
        raise ReasonNeededError(needed)


def explain_needed_reason(version: ModelVersion, *, champion: ModelVersion) -> str:
    """Return why a reason is needed for a version to replace `champion`; empty when none is.

    Two test accuracies are compared only when they were measured on the same dataset, by its hash.
    """
    names = {"version": version, "champion": champion}
    if not is_comparable(version, champion):
        sentence = _(
            "%(version)s and the champion %(champion)s were tested on different images, so nobody can tell which is "
            "better. Give a reason to let it answer all the same."
        )
        return sentence % names
    if version.test_accuracy < champion.test_accuracy - settings.PROMOTION_MARGIN:
        return _(
            "%(version)s is right on %(new).2f%% of the test images, the champion %(champion)s on %(old).2f%%. "
            "Give a reason to let it answer all the same."
        ) % {**names, "new": 100 * version.test_accuracy, "old": 100 * champion.test_accuracy}
    return ""


def is_comparable(version: ModelVersion, other: ModelVersion) -> bool:
    """Whether two versions were tested on the same images."""
    same: bool = version.manifest["dataset"]["sha256"] == other.manifest["dataset"]["sha256"]
    return same


def _describe_class_change(champion: ModelVersion, version: ModelVersion) -> str:
    return _("%(version)s knows other classes (%(new)s) than the champion %(previous)s (%(old)s).") % {
        "version": version,
        "new": ", ".join(version.class_keys[:_SHOWN_CLASSES]),
        "previous": champion,
        "old": ", ".join(champion.class_keys[:_SHOWN_CLASSES]),
    }

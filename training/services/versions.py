"""Model versions: promotion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from training.choices import ModelState
from training.doorbell import MIRROR_CHAMPION, ring
from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.exceptions import ClassesDifferError, ServiceError
from training.models import ModelVersion, Promotion

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


_PROMOTION_TRIES: Final = 20

logger = logging.getLogger(__name__)


def promote_version(
    *, version: ModelVersion, by: User | None, accept_class_change: bool = False, announce: bool = True
) -> Promotion:
    """Make a version the champion; every web process answers with it within two seconds.

    The package is verified first. The change of champion is one transaction of conditional updates, repeated when
    somebody else promotes at the same moment.

    Args:
        version: The version.
        by: Who asks; None for the command line.
        accept_class_change: Whether it may know other classes than the champion of now.
        announce: Whether to wake a worker, for MLflow's alias; not while the site is still being prepared.

    Raises:
        ClassesDifferError: it knows other classes, and that was not accepted.
        ServiceError: it is the champion already, or its files are not those that were registered.
    """
    _require_sound_package(version)
    for _try in range(_PROMOTION_TRIES):
        previous = ModelVersion.objects.champion()
        if previous is not None and previous.pk == version.pk:
            raise ServiceError(_("%(version)s is the champion already.") % {"version": version})
        if previous is not None and previous.class_keys != version.class_keys and not accept_class_change:
            raise ClassesDifferError(_describe_class_change(previous, version))
        promotion = _change_champion(previous, version, by=by)
        if promotion is not None:
            version.state = ModelState.CHAMPION
            logger.info("%s is the champion now, chosen by %s", version, by or "the command line")
            if announce and settings.MLFLOW_TRACKING_URI:
                ring(MIRROR_CHAMPION, promotion.pk)
            return promotion
    raise ServiceError(_("Too many promotions at the same time; try again."))


class _ChampionMovedError(Exception):
    """Somebody else changed the champion meanwhile."""


def _change_champion(previous: ModelVersion | None, version: ModelVersion, *, by: User | None) -> Promotion | None:
    """Replace `previous` by `version`, all or nothing; None when somebody else changed the champion meanwhile."""
    champions = ModelVersion.objects.filter(state=ModelState.CHAMPION)
    others = ModelVersion.objects.exclude(state=ModelState.CHAMPION)
    try:
        with transaction.atomic():
            if previous is not None and not champions.filter(pk=previous.pk).update(state=ModelState.ARCHIVED):
                raise _ChampionMovedError
            if not others.filter(pk=version.pk).update(state=ModelState.CHAMPION):
                raise _ChampionMovedError
            return Promotion.objects.create(version=version, previous=previous, by=by)
    except (IntegrityError, _ChampionMovedError):  # the constraint allows one champion
        return None


def _require_sound_package(version: ModelVersion) -> None:
    try:
        manifest = verify_package(version.path)
    except (PackageError, OSError) as error:
        logger.warning("%s cannot be promoted: %s", version, error)
        message = _("%(version)s cannot be promoted: its files are not those that were registered.")
        raise ServiceError(message % {"version": version}) from error
    if manifest.sha256 != version.package_sha256:
        message = _("%(version)s cannot be promoted: its folder holds another model.")
        raise ServiceError(message % {"version": version})


def _describe_class_change(previous: ModelVersion, version: ModelVersion) -> str:
    return _("%(version)s knows other classes (%(new)s) than the champion %(previous)s (%(old)s).") % {
        "version": version,
        "new": ", ".join(version.class_keys[:12]),
        "previous": previous,
        "old": ", ".join(previous.class_keys[:12]),
    }

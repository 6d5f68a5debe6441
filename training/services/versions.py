"""Model versions: which one answers. Every change of champion is one transaction of conditional updates."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from training.choices import ModelState, PromotionKind
from training.doorbell import MIRROR_CHAMPION, ring
from training.exceptions import ServiceError
from training.models import ModelVersion, Promotion

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

from training.services.gate import require_consent, require_serviceable

LONGEST_REASON: Final = 500
_PROMOTION_TRIES: Final = 20

logger = logging.getLogger(__name__)


def promote_version(
    *, version: ModelVersion, by: User | None, accept_class_change: bool = False, reason: str = ""
) -> Promotion:
    """Make a version the champion; every web process answers with it within two seconds.

    Its package is verified and its golden samples are answered first. The change is repeated, with all its
    conditions, when somebody else promotes at the same moment.

    Args:
        version: The version.
        by: Who asks; None for the command line.
        accept_class_change: Whether it may know other classes than the champion of now.
        reason: Why it shall answer; needed where it is not known to be as accurate as the champion of now.

    Raises:
        ClassesDifferError: it knows other classes, and that was not accepted.
        ReasonNeededError: it is less accurate by more than the margin, or cannot be compared, and no reason was given.
        ServiceError: it is the champion already, its files are not those that were registered, or it does not answer.
    """
    reason = _checked_reason(reason)
    is_serviceable = False
    for _try in range(_PROMOTION_TRIES):
        champion = ModelVersion.objects.champion()
        if champion is not None:
            if champion.pk == version.pk:
                raise ServiceError(_("%(version)s is the champion already.") % {"version": version})
            require_consent(version, champion=champion, accept_class_change=accept_class_change, reason=reason)
        if not is_serviceable:
            require_serviceable(version)
            is_serviceable = True
        promotion = _change_champion(champion, version, by=by, kind=PromotionKind.PROMOTE, reason=reason)
        if promotion is not None:
            return promotion
    raise ServiceError(_("Too many promotions at the same time; try again."))


def roll_back(*, by: User | None, champion: int | None = None, reason: str = "") -> Promotion:
    """Let the version answer again that answered before the champion.

    It asks for no consent, whatever the accuracies and the classes: people knew it. Repeated, it goes back further.

    Args:
        by: Who asks; None for the command line.
        champion: Key of the version that who asks takes for the champion; None for whichever it is.
        reason: Why.

    Raises:
        ServiceError: there is no version before, it cannot answer, or the champion is another one by now.
    """
    reason = _checked_reason(reason)
    current = ModelVersion.objects.champion()
    if current is None:
        raise ServiceError(_("No version answers, so there is nothing to roll back."))
    if champion is not None and champion != current.pk:
        raise ServiceError(_describe_moved(current))
    before = find_predecessor(current)
    if before is None:
        raise ServiceError(_("No version answered before %(champion)s.") % {"champion": current})
    require_serviceable(before)
    promotion = _change_champion(current, before, by=by, kind=PromotionKind.ROLLBACK, reason=reason)
    if promotion is None:
        raise ServiceError(_describe_moved(ModelVersion.objects.champion()))
    return promotion


def install_champion(*, version: ModelVersion) -> Promotion | None:
    """Make the version that came with the site its first champion, while the site is being prepared.

    Its golden samples are answered by the web when it loads it: what prepares the site stays small. Nobody is woken.

    Returns:
        The record; None when there is a champion by now.
    """
    return _change_champion(None, version, by=None, kind=PromotionKind.IMPORT, reason="", announce=False)


def find_predecessor(champion: ModelVersion) -> ModelVersion | None:
    """Return the version to which rolling back leads: the one that `champion` replaced when it was promoted."""
    records = Promotion.objects.filter(version=champion).exclude(kind=PromotionKind.ROLLBACK)
    newest = records.select_related("previous").order_by("-pk").first()
    return newest.previous if newest else None


class _ChampionMovedError(Exception):
    """Somebody else changed the champion meanwhile."""


def _change_champion(
    previous: ModelVersion | None,
    version: ModelVersion,
    *,
    by: User | None,
    kind: PromotionKind,
    reason: str,
    announce: bool = True,
) -> Promotion | None:
    """Replace `previous` by `version`, all or nothing; None when somebody else changed the champion meanwhile."""
    champions = ModelVersion.objects.filter(state=ModelState.CHAMPION)
    others = ModelVersion.objects.exclude(state=ModelState.CHAMPION)
    try:
        with transaction.atomic():
            if previous is not None and not champions.filter(pk=previous.pk).update(state=ModelState.ARCHIVED):
                raise _ChampionMovedError
            if not others.filter(pk=version.pk).update(state=ModelState.CHAMPION):
                raise _ChampionMovedError
            promotion = Promotion.objects.create(version=version, previous=previous, by=by, kind=kind, reason=reason)
            if announce and settings.MLFLOW_TRACKING_URI:
                ring(MIRROR_CHAMPION, promotion.pk)
    except (IntegrityError, _ChampionMovedError):  # the constraint allows one champion
        return None
    version.state = ModelState.CHAMPION
    logger.info("%s is the champion now (%s), chosen by %s", version, kind.value, by or "the command line")
    return promotion


def _checked_reason(reason: str) -> str:
    """Return a reason without the space around it.

    Raises:
        ServiceError: it is too long to be kept.
    """
    stripped = reason.strip()
    if len(stripped) > LONGEST_REASON:
        raise ServiceError(_("Give a reason of at most %(limit)d characters.") % {"limit": LONGEST_REASON})
    return stripped


def _describe_moved(champion: ModelVersion | None) -> str:
    return _("The champion was changed meanwhile: it is %(champion)s now. Look at it before you change it again.") % {
        "champion": champion or "—"
    }

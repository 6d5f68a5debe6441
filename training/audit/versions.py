"""Model versions: their packages, and the champion."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.choices import ModelState
from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.exceptions import DamagedArtifactError
from training.models import ModelVersion, Promotion
from training.store import lend


def check_packages() -> Iterator[Finding]:
    """The package of every version is there, with the hash that the row names."""
    for version in ModelVersion.objects.order_by("pk").iterator():
        trouble = _find_trouble(version)
        if trouble and version.state == ModelState.CHAMPION:
            yield Finding(kind="damaged_champion", subject=str(version), sentence=_("The champion: %s") % trouble)
        elif trouble:
            yield Finding(kind="damaged_package", subject=str(version), sentence=trouble)


def check_champion() -> Iterator[Finding]:
    """There is one champion, the one that was promoted last; none before the first promotion."""
    champions = list(ModelVersion.objects.filter(state=ModelState.CHAMPION))
    last = Promotion.objects.select_related("version").first()
    if len(champions) > 1:
        names = ", ".join(map(str, champions))
        yield Finding(kind="several_champions", subject=names, sentence=_("They are champions at the same time."))
    elif last is not None and champions != [last.version]:
        sentence = _("It was promoted last, and is not the champion.")
        yield Finding(kind="wrong_champion", subject=str(last.version), sentence=sentence)


def _find_trouble(version: ModelVersion) -> str:
    """Say what is wrong with a version's package; "" for nothing.

    Raises:
        OSError: the store does not answer.
    """
    try:
        with lend(version.location) as path:
            package = verify_package(path)
    except FileNotFoundError:
        return _("Its package is gone.")
    except (PackageError, DamagedArtifactError):
        return _("Its package is incomplete or was altered.")
    return "" if package.sha256 == version.package_sha256 else _("Its folder holds another package.")

"""Files that nobody names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from training.audit.findings import Finding
from training.retention import DAY_SECONDS, Removable, find_orphans

# What is younger may be in the making: a package is in its place seconds before its row is written.
_SETTLED_SECONDS: Final = 600.0


def check_orphans() -> Iterator[Finding]:
    """Every dataset, package, upload and checkpoint belongs to a row. Those older than a day may be removed."""
    old = {item.location for item in find_orphans(older_than_seconds=DAY_SECONDS)}
    for item in find_orphans(older_than_seconds=_SETTLED_SECONDS):
        sentence = _("Nothing needs it (%(size)s): %(why)s.") % {
            "size": filesizeformat(item.size_bytes),
            "why": item.why,
        }
        repair = partial(_remove, item) if item.location in old else None
        yield Finding(kind="orphan", subject=item.location, sentence=sentence, repair=repair)


def _remove(item: Removable) -> str:
    item.remove()
    return _("It was removed.")

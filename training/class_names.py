"""The names of classes as people read them. Keys are stored; names are only shown."""

from __future__ import annotations

from functools import cache

from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

_NAMES: dict[str, Promise] = {
    "airplane": _("airplane"),
    "automobile": _("automobile"),
    "bird": _("bird"),
    "cat": _("cat"),
    "deer": _("deer"),
    "dog": _("dog"),
    "frog": _("frog"),
    "horse": _("horse"),
    "ship": _("ship"),
    "truck": _("truck"),
}


def display_name(class_key: str) -> str:
    """Return the class's name in the active language; a key of an imported dataset is its own name."""
    return _translated(get_language()).get(class_key, class_key)


@cache
def _translated(_language: str | None) -> dict[str, str]:
    """Return all names in the active language, which is `_language`: every answer holds ten of them."""
    return {key: str(name) for key, name in _NAMES.items()}

"""The names of classes as people read them. Keys are stored; names are only shown."""

from __future__ import annotations

from django.utils.functional import Promise
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
    name = _NAMES.get(class_key)
    return class_key if name is None else str(name)

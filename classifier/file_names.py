"""Under which name an upload is kept: what the person's program called it, made harmless. It names no file here."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

LONGEST_NAME: Final = 1000
"""Characters; file systems allow 255, so a longer name than this is no name."""

_STORED: Final = 255


def find_name_fault(name: str) -> str:
    """Say in one sentence why a file's name is refused, or return an empty text."""
    if "\0" in name:
        return _("The file's name contains a NUL character.")
    if len(name) > LONGEST_NAME:
        return _("The file's name has more than %(limit)s characters.") % {"limit": LONGEST_NAME}
    return "" if name.strip() else _("The file has no name.")


def harmless_name(name: str) -> str:
    """Reduce a file's name to what is stored and shown: no folders, no control or direction marks, 255 characters.

    A long name keeps its ending. The result may be empty: some names consist of folders only.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(character for character in last if character.isprintable()).strip()
    if len(clean) <= _STORED:
        return "" if clean in {".", ".."} else clean
    stem, dot, ending = clean.rpartition(".")
    kept = f"…{dot}{ending}" if stem and len(ending) <= 10 else "…"
    return clean[: _STORED - len(kept)] + kept

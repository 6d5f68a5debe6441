"""Under which name an upload is kept and sent back: what the person's program called it, made harmless.

It names no file here.
"""

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


def download_name(name: str, *, media_type: str, otherwise: str) -> str:
    """Return the name under which a picture is sent back: its own, with the ending of what it is.

    Programs open a file by its ending: a picture that calls itself `page.html` must not become a page.

    Args:
        name: As `harmless_name` made it; may be empty.
        media_type: What the file is, by content: `image/png`.
        otherwise: What to call one without a name, without an ending.
    """
    ending = media_type.rpartition("/")[2]
    stem, _dot, own = name.rpartition(".")
    if stem and own.lower() in {ending, "jpg" if ending == "jpeg" else ending}:
        return name
    return harmless_name(f"{name or otherwise}.{ending}")

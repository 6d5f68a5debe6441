"""What the pictures of an archive show according to whoever packed it: lists named `labels.csv`, and class folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _

MOST_BYTES: Final = 32 * 1024 * 1024  # 100,000 lines with names of the longest kind that is usual
_LONGEST_FIELD: Final = 1024
_HEADS: Final = ("label", "class", "class_key")


class BadLabelsError(Exception):
    """A list of labels that cannot be read; the message is a sentence."""


class Labels:
    """Labels by name of the entry."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}

    def read(self, name: str, data: bytes) -> None:
        """Take in a list: lines of `name,label`, with or without a heading; names are relative to it or to the archive.

        Args:
            name: Of the list itself.
            data: UTF-8.

        Raises:
            BadLabelsError: it is no such list.
        """
        folder = name.rpartition("/")[0]
        try:
            lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
            for number, fields in enumerate(lines, start=1):
                if fields and not self._take(fields, folder=folder, is_first=number == 1):
                    sentence = _("Line %(number)s of %(name)s is not of the form name,label.")
                    raise BadLabelsError(sentence % {"number": number, "name": name})
        except (UnicodeDecodeError, csv.Error) as error:
            message = _("%(name)s cannot be read: it is to be a CSV file in UTF-8.") % {"name": name}
            raise BadLabelsError(message) from error

    def find(self, name: str) -> str:
        """Return the label of an entry; "" where there is none."""
        return self._by_name.get(name, "")

    def _take(self, fields: Sequence[str], *, folder: str, is_first: bool) -> bool:
        if len(fields) < 2 or len(fields[0]) > _LONGEST_FIELD:
            return False
        name, label = fields[0].strip().removeprefix("./"), fields[1].strip()
        if is_first and label.lower() in _HEADS:
            return True
        self._by_name[f"{folder}/{name}" if folder else name] = label
        self._by_name.setdefault(name, label)
        return True


def find_expected(name: str, *, labels: Labels, class_keys: Sequence[str]) -> str:
    """Return the class that an entry is said to show, "" where nobody says it or the model does not know it.

    A list's word counts before that of the folder in which the entry lies; it may be a class's key or its number.
    """
    said = labels.find(name) or name.rpartition("/")[0].rpartition("/")[2]
    folded = said.casefold()
    if folded in class_keys:
        return folded
    if folded.isascii() and folded.isdecimal() and len(folded) < 4 and labels.find(name):
        number = int(folded)
        return class_keys[number] if number < len(class_keys) else ""
    return next((key for key in class_keys if key.casefold() == folded), "")

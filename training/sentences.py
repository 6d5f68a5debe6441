"""Sentences that were made in English where no reader was known, found again and said in the reader's language."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext as _

_PLACE: Final = re.compile(r"%\((\w+)\)s")


class Sentences:
    """Knows sentences with places to fill.

    Args:
        templates: In English, with places such as `%(name)s`; marked with `gettext_noop`.
    """

    def __init__(self, *templates: str) -> None:
        self.templates: Final = templates
        self._patterns: Final = [(re.compile(_to_pattern(template), re.DOTALL), template) for template in templates]

    def translate(self, text: str) -> str:
        """Return the sentence in the active language; one that is not known stays as it is."""
        for pattern, template in self._patterns:
            if match := pattern.fullmatch(text):
                return _(template) % match.groupdict()
        return text


def _to_pattern(template: str) -> str:
    parts = _PLACE.split(template)  # text, name, text, name, …, text
    escaped = [
        f"(?P<{part}>.+)" if place % 2 else re.escape(part.replace("%%", "%")) for place, part in enumerate(parts)
    ]
    return "".join(escaped)

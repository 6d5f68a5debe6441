"""What an audit finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One mismatch.

    Attributes:
        kind: Which one, for a program: `expired_lease`, `damaged_package`, …
        subject: What it is about: a run, a version, a file.
        sentence: What is wrong with it, for a person.
        repair: Does what is safe about it and returns what that was, as a sentence; None where a person has to decide.
    """

    kind: str
    subject: str
    sentence: str
    repair: Callable[[], str] | None = None


Check = Callable[[], Iterator[Finding]]


def look(checks: Iterable[Check]) -> Iterator[Finding]:
    """Make the checks one after the other; one that cannot be made is a finding too."""
    for check in checks:
        try:
            yield from check()
        except OSError as error:
            sentence = _("This could not be checked: %(why)s.") % {"why": error.strerror or type(error).__name__}
            yield Finding(kind="unchecked", subject=check.__name__, sentence=sentence)

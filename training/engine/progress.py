"""How long work on datasets tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int, str], None]
"""Called with what is done, what there is in all (in one unit, the work's own), and a sentence."""


def ignore_progress(_done: int, _total: int, _message: str) -> None:
    """Do nothing: for callers that want no progress."""

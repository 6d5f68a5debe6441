"""How long work tells how far it is, and that it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

REPEAT_SECONDS: Final = 5.0
"""A supervisor waits minutes for a word, but grants seconds to whom it asks to end."""

ProgressCallback = Callable[[int, int, str], None]
"""Called with what is done, what there is in all (in one unit, the work's own), and a sentence."""


def ignore_progress(_done: int, _total: int, _message: str) -> None:
    """Do nothing: for callers that want no progress."""


def repeat_slowly(action: Callable[[], None]) -> Callable[[], None]:
    """Return a function to be called often, which does `action` every few seconds, for the first time after them."""
    last = time.monotonic()

    def act_if_due() -> None:
        nonlocal last
        if time.monotonic() - last >= REPEAT_SECONDS:
            action()
            last = time.monotonic()

    return act_if_due

"""Who is told, in the transaction that ends a job, that it has ended. An application above registers itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.transitions import Transition

Listener = Callable[["Transition", int | None], None]
"""Takes the change that ended the job, and the key of the job's owner, None for the command line."""

_listeners: list[Listener] = []


def register_listener(listener: Listener) -> None:
    """Have `listener` called at every end. What it raises undoes the end: it writes rows and rings, nothing else."""
    if listener not in _listeners:
        _listeners.append(listener)


def announce_end(transition: Transition, owner_id: int | None) -> None:
    """Tell everybody who registered that a job has ended."""
    for listener in _listeners:
        listener(transition, owner_id)

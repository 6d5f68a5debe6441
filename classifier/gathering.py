"""Work that is cheaper done together: one thread does what waits, its own part included; nobody waits when alone.

There is no thread and no timer of its own. The thread that finds nobody at work leads: it takes what waits, does it in
one go, wakes those whose part is done, and hands the lead to the first who came meanwhile.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def _locked() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Place(Generic[Item, Result]):
    """One item in the queue; its thread sleeps on `turn`."""

    item: Item
    turn: Lock = field(default_factory=_locked)
    leads: bool = False
    results: list[Result] = field(default_factory=list)  # one when the work is done
    error: BaseException | None = None


class Gathering(Generic[Item, Result]):
    """Gathers the items of threads that ask at the same time.

    Args:
        work: does up to `limit` items and returns their results in order. Only one thread is in it, but for items that
            are tried alone.
        limit: most items of one go.
        alone_after: errors of `work` that say that nothing was done because of one of the items: then each thread
            tries its own alone, and only the culprit fails. Any other error is everybody's.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        limit: int,
        alone_after: tuple[type[Exception], ...] = (),
    ) -> None:
        self._work = work
        self._limit = limit
        self._alone_after = alone_after
        self.forget()

    def forget(self) -> None:
        """Begin as a new process does: the threads that waited or led are another process's."""
        self._lock = Lock()
        self._waiting: deque[_Place[Item, Result]] = deque()
        self._is_busy = False

    def ask(self, item: Item) -> Result:
        """Return the result of `item`, done alone or with others.

        Raises:
            Exception: whatever `work` raises.
        """
        place = _Place[Item, Result](item)
        with self._lock:
            place.leads = not self._is_busy
            self._is_busy = True
            if not place.leads:
                self._waiting.append(place)
        if not place.leads:
            place.turn.acquire()
        if place.leads:
            return self._lead(place)
        if place.error is not None:
            raise copy.copy(place.error) from place.error  # one that is raised by many would mix their tracebacks
        return place.results[0] if place.results else self._work([item])[0]

    def _lead(self, place: _Place[Item, Result]) -> Result:
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(self._limit - 1, len(self._waiting)))]
        try:
            first, *rest = self._work([place.item, *(other.item for other in others)])
            for other, result in zip(others, rest, strict=True):
                other.results.append(result)
        except self._alone_after:
            if not others:
                raise
            first = self._work([place.item])[0]  # the others find nothing done, and go alone as well
        except BaseException as error:
            for other in others:
                other.error = error
            raise
        finally:
            self._hand_over()
            for other in others:
                other.turn.release()
        return first

    def _hand_over(self) -> None:
        with self._lock:
            self._is_busy = bool(self._waiting)
            if self._is_busy:
                successor = self._waiting.popleft()
                successor.leads = True
                successor.turn.release()

"""When queued runs are expected to begin: the queue is played through, as workers will take it."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A run, as far as it decides about the turn of others.

    Attributes:
        pk: Its number.
        owner: Whose it is; None for nobody's, to which no limit applies.
        after: The run that has to succeed first; None when none has to (any more).
        seconds: What is left of it, infinite where that is not known.
    """

    pk: int
    owner: int | None
    after: int | None
    seconds: float


def foresee_starts(
    queued: Sequence[Entry], *, running: Sequence[Entry], lanes: int, limit: int | None
) -> dict[int, float]:
    """Tell when queued runs begin if nothing is asked for, cancelled or lost until then.

    Args:
        queued: In the order in which they are taken.
        running: Those at work.
        lanes: How many are at work at the same time, at least as many as are now.
        limit: How many of one owner are at work at the same time; None for as many as there are lanes.

    Returns:
        Seconds from now by number of the run, for those of which it can be known.
    """
    waiting = list(queued)
    starts: dict[int, float] = {}
    ended: set[int] = set()
    busy = [(run.seconds, run.pk, run.owner) for run in running]
    heapq.heapify(busy)
    now = 0.0
    at_work = Counter(run.owner for run in running)
    while waiting:
        full = {owner for owner, runs in at_work.items() if owner is not None and limit and runs >= limit}
        number = _find_next(waiting, ended=ended, full=full) if len(busy) < lanes else None
        if number is not None:
            run = waiting.pop(number)
            starts[run.pk] = now
            heapq.heappush(busy, (now + run.seconds, run.pk, run.owner))
            at_work[run.owner] += 1
        elif busy and math.isfinite(busy[0][0]):
            now, pk, owner = heapq.heappop(busy)
            at_work[owner] -= 1
            ended.add(pk)
        else:  # nothing that is known of changes any more
            break
    return starts


def _find_next(waiting: Sequence[Entry], *, ended: set[int], full: set[int]) -> int | None:
    """Return the place of the first run that may begin."""
    may = (i for i, run in enumerate(waiting) if run.owner not in full and (run.after is None or run.after in ended))
    return next(may, None)

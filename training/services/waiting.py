"""Why a queued run has not begun, and when it is expected to: the whole queue in a fixed number of queries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from training.choices import JobStatus, QueueName
from training.forecast import Entry, foresee_starts
from training.models import EpochMetric, JobQueue, TrainingRun
from training.models.run import TrainingRunQuerySet
from training.pace import expected_seconds, seconds_left
from training.services.room import count_training_lanes

# Runs whose start is estimated, in turn; those behind them have a position all the same.
_FORESEEN: Final = 200


class WaitsFor(StrEnum):
    """What keeps a queued run from being at work; where several things do, the first of this list is told."""

    QUEUE = "queue"  # which is paused
    RUN = "run"  # which has to succeed first
    OWNER = "owner"  # who has as many runs at work as are allowed
    NO_WORKER = "no_worker"
    TURN = "turn"
    WORKER = "worker"  # that is free and takes it in a moment


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a queued run waits.

    Attributes:
        waits_for: What it waits for.
        position: Its place among the runs that wait for their turn, 1 for the next one; None for a run that waits for
            another one, be it the one to follow or one of the same owner.
        expected_start: When it is expected to begin; None where that cannot be known.
        after: The run that has to succeed first; None when none has to (any more).
        after_status: The state of that one.
    """

    waits_for: WaitsFor
    position: int | None
    expected_start: datetime | None
    after: int | None = None
    after_status: JobStatus | None = None

    @property
    def before(self) -> int:
        """How many waiting runs are taken first."""
        return 0 if self.position is None else self.position - 1


def describe_waiting(runs: Iterable[TrainingRun]) -> dict[int, Waiting]:
    """Tell why runs wait, by their number; those that are not queued are left out.

    Costs no query where none is queued, and eight otherwise, however many there are.
    """
    queued = [run.pk for run in runs if run.status == JobStatus.QUEUED]
    if not queued:
        return {}
    snapshot = _Snapshot()
    return {pk: snapshot.describe(pk) for pk in queued if pk in snapshot.line}


@dataclass(frozen=True, slots=True)
class _Place:
    """A queued run; `after` is gone once that run has succeeded."""

    owner: int | None
    after: int | None
    after_status: JobStatus | None


class _Snapshot:
    """The queue of training runs at one moment."""

    def __init__(self) -> None:
        self._now = timezone.now()
        self._is_paused = JobQueue.objects.filter(name=QueueName.TRAINING, paused_at__isnull=False).exists()
        self.line = dict(_list_places())
        running = list(_with_continued().filter(status=JobStatus.RUNNING))
        self._running = len(running)
        self._lanes = max(count_training_lanes(), self._running)
        foreseen = list(_with_continued().filter(pk__in=list(self.line)[:_FORESEEN]).in_turn())
        expected = expected_seconds([*running, *foreseen])
        at_work = _entries_at_work(running, expected=expected, now=self._now)
        limit = settings.USER_RUNNING_RUNS or None
        busy = Counter(run.owner_id for run in running if run.owner_id is not None)
        self._full = {owner for owner, runs in busy.items() if limit and runs >= limit}
        in_line = (pk for pk in self.line if self._held_back_by(pk) is None)
        self._positions = {pk: number for number, pk in enumerate(in_line, start=1)}
        entries = [
            Entry(run.pk, run.owner_id, self.line[run.pk].after, _or_infinite(expected[run.pk])) for run in foreseen
        ]
        self._starts = {}
        if not self._is_paused:
            self._starts = foresee_starts(entries, running=at_work, lanes=self._lanes, limit=limit)

    def describe(self, pk: int) -> Waiting:
        """Tell why the queued run `pk` waits."""
        place, seconds = self.line[pk], self._starts.get(pk)
        return Waiting(
            waits_for=self._find_cause(pk),
            position=self._positions.get(pk),
            expected_start=None if seconds is None else self._now + timedelta(seconds=seconds),
            after=place.after,
            after_status=place.after_status,
        )

    def _find_cause(self, pk: int) -> WaitsFor:
        if self._is_paused:
            return WaitsFor.QUEUE
        if (held_back_by := self._held_back_by(pk)) is not None:
            return held_back_by
        if not self._lanes:
            return WaitsFor.NO_WORKER
        return WaitsFor.WORKER if self._running + self._positions[pk] <= self._lanes else WaitsFor.TURN

    def _held_back_by(self, pk: int) -> WaitsFor | None:
        place = self.line[pk]
        if place.after is not None:
            return WaitsFor.RUN
        return WaitsFor.OWNER if place.owner in self._full else None


def _list_places() -> Iterable[tuple[int, _Place]]:
    """Yield the queued runs in the order in which they are taken."""
    queued = TrainingRun.objects.filter(status=JobStatus.QUEUED, cancel_requested=False).in_turn()
    for pk, owner, after, status in queued.values_list("pk", "owner", "after", "after__status"):
        if status in {None, JobStatus.SUCCEEDED}:
            yield pk, _Place(owner, None, None)
        else:
            yield pk, _Place(owner, after, JobStatus(status))


def _with_continued() -> TrainingRunQuerySet:
    """Return runs with what tells how long they take."""
    runs: TrainingRunQuerySet = TrainingRun.objects.select_related("continues")
    names = ("config", "status", "owner", "continues", "progress_done", "progress_total", "started_at", "environment")
    return runs.only(*names, "continues__config")


def _entries_at_work(running: list[TrainingRun], *, expected: dict[int, float | None], now: datetime) -> list[Entry]:
    """Return the runs at work with what is left of them: by their own pace, before they have one by that of others."""
    newest = EpochMetric.objects.filter(run=OuterRef("run")).order_by("-phase", "-epoch").values("pk")[:1]
    rows = EpochMetric.objects.filter(run__in=[run.pk for run in running], pk=Subquery(newest)).select_related("run")
    last_epochs = {row.run_id: row for row in rows.defer("run__config", "run__metrics", "run__log_tail")}
    entries = []
    for run in running:
        left = seconds_left(run, last_epoch=last_epochs.get(run.pk), now=now)
        entries.append(Entry(run.pk, run.owner_id, None, _or_infinite(expected[run.pk] if left is None else left)))
    return entries


def _or_infinite(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds

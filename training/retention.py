"""What may be removed from the store and from this machine, and why.

Never what a row needs: a dataset, a model version, the source of an import, the checkpoint of a run that may go on.
What was written within the last day stays too: its row may be about to be.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import ExpressionWrapper, Value, fields
from django.db.models.functions import Now

from training.checkpoints import CheckpointName, find_earlier, parse_location
from training.choices import TERMINAL_STATUSES
from training.job_kinds import forget_upload, is_named_upload, job_models, named_uploads
from training.models import Dataset, DatasetImport, Evaluation, ModelVersion, TrainingRun
from training.storage import (
    CHECKPOINTS,
    DATASETS,
    DRAFTS,
    EVALUATIONS,
    IMPORTS,
    MODELS,
    RUNS,
    UPLOADS,
    Stored,
    artifacts,
)
from training.store import describe, is_remote, list_stored, remove, remove_local

DAY_SECONDS: Final = 86_400.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removable:
    """Something that may go.

    Attributes:
        location: Where it lies under the artifacts root.
        size_bytes: What it takes.
        why: A few words for a person.
        is_local: Whether it is this machine's alone: a working folder, which the store does not know.
    """

    location: str
    size_bytes: int
    why: str
    is_local: bool = False

    def remove(self) -> None:
        """Remove it. A run that names it forgets it first, so that no row names what is not there.

        Raises:
            OSError: the store does not answer.
        """
        if self.is_local:
            remove_local(self.location)
            with contextlib.suppress(OSError):  # not empty
                artifacts(self.location).parent.rmdir()
            return
        forget_upload(self.location)
        named_by = TrainingRun.objects.filter(checkpoint=self.location, status__in=TERMINAL_STATUSES)
        named_by.update(checkpoint="", checkpoint_sha256="")
        is_named = TrainingRun.objects.filter(checkpoint=self.location).exists() or is_named_upload(self.location)
        if not is_named:  # nobody resumed or continued it meanwhile
            remove(self.location)


def find_removable(*, older_than_days: int | None = None) -> list[Removable]:
    """Return what may go.

    Args:
        older_than_days: Checkpoints of runs that ended longer ago are among it; CIFARSITE_CHECKPOINT_DAYS by default.

    Raises:
        OSError: the store does not answer.
    """
    days = settings.CHECKPOINT_DAYS if older_than_days is None else older_than_days
    checkpoints = _find_dispensable_checkpoints(timedelta(days=days))
    uploads = _find_dispensable_uploads()
    return [*find_orphans(older_than_seconds=DAY_SECONDS), *checkpoints, *uploads, *_find_working_folders()]


def find_orphans(*, older_than_seconds: float) -> list[Removable]:
    """Return the datasets, packages, evaluations, uploads and checkpoints of which no row knows.

    Args:
        older_than_seconds: Younger ones may be in the making.

    Raises:
        OSError: the store does not answer.
    """
    found = [*_find_unnamed(), *_find_checkpoints_of_nobody()]
    return [item for item, age_seconds in found if age_seconds >= older_than_seconds]


def clean(*, older_than_days: int | None = None) -> list[Removable]:
    """Remove what may go; returns what went.

    Raises:
        OSError: the store does not answer.
    """
    removable = find_removable(older_than_days=older_than_days)
    for item in removable:
        item.remove()
        logger.info("Removed %s, %d bytes: %s", item.location, item.size_bytes, item.why)
    return removable


def _find_unnamed() -> Iterator[tuple[Removable, float]]:
    """Datasets, packages, evaluations and uploads that no row names, with their age in seconds."""
    named = {
        DATASETS: (set(Dataset.objects.values_list("location", flat=True)), "no dataset names it"),
        MODELS: (set(ModelVersion.objects.values_list("location", flat=True)), "no model version names it"),
        EVALUATIONS: (set(Evaluation.objects.values_list("location", flat=True)), "no evaluation names it"),
        UPLOADS: (named_uploads(), "no job names it"),
    }
    for folder, (locations, why) in named.items():
        for stored in list_stored(folder):
            if stored.location not in locations:
                yield Removable(stored.location, stored.size_bytes, why), stored.age_seconds


def _find_checkpoints_of_nobody() -> Iterator[tuple[Removable, float]]:
    """Checkpoints of runs that are gone, with their age in seconds."""
    known = set(TrainingRun.objects.values_list("pk", flat=True))
    named = set(TrainingRun.objects.values_list("checkpoint", flat=True))
    for name, stored in _list_checkpoints():
        if name.run not in known and name.location not in named:
            yield Removable(name.location, stored.size_bytes, f"run {name.run} is gone"), stored.age_seconds


def _find_dispensable_checkpoints(age: timedelta) -> Iterator[Removable]:
    """Those of runs that ended longer than `age` ago; of other ended runs all but the recorded one and one before."""
    long_ago = ExpressionWrapper(Now() - Value(age), output_field=fields.DateTimeField())
    ended = TrainingRun.objects.filter(status__in=TERMINAL_STATUSES)
    old = set(ended.filter(finished_at__lt=long_ago).values_list("pk", flat=True))
    recorded = {pk: parse_location(at) for pk, at in ended.values_list("pk", "checkpoint")}
    live = set(TrainingRun.objects.active().values_list("checkpoint", flat=True))
    for run, pairs in groupby(_list_checkpoints(), key=lambda pair: pair[0].run):
        if run not in recorded:
            continue
        found = dict(pairs)
        newest = recorded[run]
        kept = set() if newest is None else {newest, *find_earlier(newest, list(found))[:1]}
        for name, stored in found.items():
            if name.location in live:
                continue
            if run in old:
                why = f"checkpoint of run {run}, which ended more than {age.days} days ago"
                yield Removable(name.location, stored.size_bytes, why)
            elif name not in kept and stored.age_seconds >= DAY_SECONDS:
                yield Removable(name.location, stored.size_bytes, f"run {run} has ended and has a newer checkpoint")


def _find_dispensable_uploads() -> Iterator[Removable]:
    """Those that ended jobs kept for as long as they should."""
    kept = {location: model for model in job_models() for location in model.dispensable_uploads()}
    for stored in list_stored(UPLOADS) if kept else ():
        if stored.location in kept:
            why = f"the {kept[stored.location]._meta.verbose_name} that it was sent for has ended"
            yield Removable(stored.location, stored.size_bytes, why)


def _find_working_folders() -> Iterator[Removable]:
    """This machine's folders of jobs that have ended or are gone, and drafts that nobody finished."""
    for folder, model in ((RUNS, TrainingRun), (IMPORTS, DatasetImport)):
        active = set(model.objects.active().values_list("pk", flat=True))
        for path in _list_numbered(artifacts(folder)):
            if int(path.name) not in active:
                yield from _as_local(_list_dispensable(path), why="working folder of a job that has ended")
    yield from _as_local(artifacts(DRAFTS).glob("*"), why="a copy that was not finished")


def _list_dispensable(folder: Path) -> Iterator[Path]:
    """The claims of an ended job, but for their checkpoints where this folder is the store.

    Each claim by itself: a job that is resumed meanwhile has a folder of its own.
    """
    for claim in _list_numbered(folder):
        if is_remote() or not any((claim / CHECKPOINTS).glob("*")):
            yield claim
        else:
            yield from (path for path in claim.iterdir() if path.name != CHECKPOINTS)


def _as_local(paths: Iterable[Path], *, why: str) -> Iterator[Removable]:
    for path in paths:
        found = describe(path.relative_to(artifacts()).as_posix())
        if found.age_seconds >= DAY_SECONDS:
            yield Removable(found.location, found.size_bytes, why, is_local=True)


def _list_numbered(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.name.isdecimal())


def _list_checkpoints() -> list[tuple[CheckpointName, Stored]]:
    """Return the store's checkpoints, those of a run together."""
    named = ((parse_location(stored.location), stored) for stored in list_stored(RUNS))
    return sorted(((name, stored) for name, stored in named if name is not None), key=lambda pair: pair[0].run)

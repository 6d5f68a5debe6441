"""What runs did to the database and the disk: each accepted one once, whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from training.choices import TERMINAL_STATUSES, Cause, JobStatus
from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.jobs import Job
from training.models import Dataset, DatasetImport, ModelVersion, TrainingRun
from training.transitions import REQUEST, Transition


@dataclass
class Effects:
    """What an audit found wrong, one sentence each.

    Attributes:
        lost: Jobs without the end or the result that they should have.
        duplicated: Effects that occur twice, or that a stale worker had.
        illegal: Histories that cannot be.
        ends: How many jobs ended how, as "status reason".
    """

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


def audit_effects(
    *, runs: Collection[int], imports: Collection[int] = (), is_expected: Callable[[Job], bool]
) -> Effects:
    """Compare jobs with their history and their results.

    Args:
        runs: Training runs that were accepted.
        imports: Imports that were accepted.
        is_expected: Whether a job that ended other than well was meant to.
    """
    effects = Effects()
    for model, accepted in ((TrainingRun, runs), (DatasetImport, imports)):
        found = {job.pk: job for job in model.objects.filter(pk__in=accepted)}
        effects.lost += [f"{model.kind()} {pk} is gone" for pk in accepted if pk not in found]
        for job in found.values():
            effects.ends[f"{job.status} {job.reason}".strip()] += 1
            if job.status != JobStatus.SUCCEEDED and not (job.status in TERMINAL_STATUSES and is_expected(job)):
                effects.lost.append(f"{job} is {job.status} {job.reason} {job.detail}")
            _check_history(job, effects)
    for run in TrainingRun.objects.filter(pk__in=runs):
        _check_run(run, effects)
    for job in DatasetImport.objects.filter(pk__in=imports):
        made = Dataset.objects.filter(name=job.name).count()
        _check_count(f"datasets of {job}", made, expected=int(job.status == JobStatus.SUCCEEDED), effects=effects)
    return effects


def _check_history(job: Job, effects: Effects) -> None:
    """A job's changes follow one another, each claim has the next fence, and no two claims overlap."""
    state, fence = REQUEST, 0
    for change in Transition.objects.of(job):
        if change.from_status != state:
            effects.illegal.append(f"{change} follows {state or 'nothing'}")
        if change.cause == Cause.CLAIMED:
            fence += 1
        if change.fence != fence:
            effects.duplicated.append(f"{change} under fence {change.fence}, although {fence} was the last claim's")
        state = change.to_status
    if (state, fence) != (job.status, job.fence):
        effects.illegal.append(f"{job} is {job.status} under {job.fence}, its history says {state} under {fence}")


def _check_run(run: TrainingRun, effects: Effects) -> None:
    has_succeeded = run.status == JobStatus.SUCCEEDED
    versions = list(ModelVersion.objects.filter(run=run))
    _check_count(f"versions of {run}", len(versions), expected=int(has_succeeded), effects=effects)
    for version in versions:
        try:
            verify_package(version.path)
        except PackageError as error:
            effects.lost.append(f"{version}: {error}")
    epochs = Counter(run.epochs.values_list("phase", "epoch"))
    effects.duplicated += [f"{run}: epoch {epoch} twice" for epoch, times in epochs.items() if times > 1]
    if has_succeeded and sorted(epochs) != [(0, epoch) for epoch in range(1, int(run.config["epochs"]) + 1)]:
        effects.lost.append(f"{run} has the epochs {sorted(epochs)}")


def _check_count(what: str, found: int, *, expected: int, effects: Effects) -> None:
    if found < expected:
        effects.lost.append(f"{what}: {found}")
    elif found > expected:
        effects.duplicated.append(f"{what}: {found}")

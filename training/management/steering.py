"""What `manage.py runs` does with one run: each asks a service and returns the run to show and a sentence about it."""

from __future__ import annotations

from training.choices import Priority
from training.models import TrainingRun
from training.services import cancel_run, clone_run, extend_run, resume_run, set_priority

_UNHEARD = " The message broker does not answer; the run starts by itself as soon as it does."


def cancel(run: TrainingRun) -> tuple[TrainingRun, str]:
    """Stop a run, after a last checkpoint."""
    cancel_run(run=run, by=None)
    return run, f"{run} was asked to stop."


def resume(run: TrainingRun) -> tuple[TrainingRun, str]:
    """Let a run that failed or was cancelled go on."""
    resume_run(run=run, by=None)
    return run, f"{run} goes on from where it stopped.{_describe_bell(run)}"


def clone(run: TrainingRun) -> tuple[TrainingRun, str]:
    """Queue a run with the same settings."""
    new = clone_run(run=run, owner=None)
    return new, f"{new} is queued, with the settings of run {run.pk}.{_describe_bell(new)}"


def extend(run: TrainingRun, *, epochs: int) -> tuple[TrainingRun, str]:
    """Queue a run that goes on where one ended, for `epochs` more."""
    new = extend_run(run=run, epochs=epochs, owner=None)
    return new, f"{new} is queued and goes on where run {run.pk} ended, for {epochs} more epochs.{_describe_bell(new)}"


def reorder(run: TrainingRun, *, priority: Priority) -> tuple[TrainingRun, str]:
    """Let a waiting run be taken earlier or later."""
    set_priority(job=run, priority=priority, by=None)
    return run, f"The priority of run {run.pk} is now {priority.name.lower()}."


def _describe_bell(run: TrainingRun) -> str:
    return _UNHEARD if run.bell is not None and run.bell.was_heard is False else ""

"""Runs that come of other runs: controls, clones, extensions, and runs that go on after they had ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from training.choices import JobStatus
from training.controls import derive_control, find_counterpart
from training.doorbell import EXECUTE_RUN, ring
from training.engine.exceptions import ConfigError
from training.exceptions import ServiceError
from training.models import EpochMetric, TrainingRun
from training.services.access import require_steering
from training.services.queues import require_room_for
from training.services.room import LEAST_FREE_BYTES, require_free_bytes
from training.services.runs import queue_run

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


def request_control(*, owner: User | None, run: TrainingRun, announce: bool = True) -> TrainingRun:
    """Queue the control of a transfer run: the same settings without the first phase, for as many images.

    Args:
        owner: Who asks; None for the command line.
        run: The transfer run.
        announce: As for `request_run`.

    Raises:
        ConfigError: the control would have more epochs than are allowed.
        CopiesRefusedError: as for `request_run`.
        ServiceError: the run has no first phase, did not succeed or has a control already, or there is no room on the
            disk.
    """
    if not run.is_transfer:
        raise ServiceError(_("%(run)s learns in one phase; only a run of two has a control.") % {"run": run})
    if run.status != JobStatus.SUCCEEDED:
        raise ServiceError(_("%(run)s has not succeeded; only then is there something to compare.") % {"run": run})
    with transaction.atomic():
        TrainingRun.objects.select_for_update().get(pk=run.pk)  # a second click waits until the first has its control
        if (present := find_counterpart(run)) is not None:
            raise ServiceError(_("%(run)s has a control already: %(control)s.") % {"run": run, "control": present})
        control = TrainingRun(owner=owner, dataset=run.dataset, recipe=run.recipe, control_of=run)
        return queue_run(control, settings_by_name=derive_control(run), announce=announce)


def resume_run(*, run: TrainingRun, by: User | None, announce: bool = True) -> None:
    """Let a run that failed or was cancelled go on from its newest checkpoint, or from the start without one.

    Args:
        run: The run.
        by: Who asks; None for the command line.
        announce: As for `request_run`.

    Raises:
        PermissionDenied: it is somebody else's run.
        ServiceError: it did not fail and was not cancelled, or there is no room on the disk, or the owner has too many
            runs.
    """
    require_steering(run, by)
    require_free_bytes(LEAST_FREE_BYTES)
    with transaction.atomic():
        require_room_for(run.owner)
        if not TrainingRun.resume(run.pk, by=by):
            raise ServiceError(
                _("%(run)s cannot be resumed: only a run that failed or was cancelled can.") % {"run": run}
            )
        if announce:
            run.bell = ring(EXECUTE_RUN, run.pk)


def clone_run(*, run: TrainingRun, owner: User | None, announce: bool = True) -> TrainingRun:
    """Queue a run with the same settings on the same dataset.

    Args:
        run: The run to repeat.
        owner: Who asks; None for the command line.
        announce: As for `request_run`.

    Raises:
        ConfigError: as for `request_run`; what was allowed then may not be now.
        CopiesRefusedError: as for `request_run`.
        ServiceError: as for `request_run`.
    """
    clone = TrainingRun(owner=owner, dataset=run.dataset, recipe=run.recipe)
    return queue_run(clone, settings_by_name=_settings_of(run), announce=announce)


def extend_run(*, run: TrainingRun, epochs: int, owner: User | None, announce: bool = True) -> TrainingRun:
    """Queue a run that goes on where another one ended, for more epochs; that one and its model stay as they are.

    Optimizer and averages go on as they were; the schedules are those of the longer run from here on, so that a rate
    that had fallen to zero begins again at the height that the longer schedule has at this point.

    Args:
        run: The run that succeeded.
        epochs: How many epochs more.
        owner: Who asks; None for the command line.
        announce: As for `request_run`.

    Raises:
        ConfigError: `epochs` is below one, or more than are allowed in all.
        CopiesRefusedError: as for `request_run`.
        ServiceError: the run did not succeed, stopped early, or its last checkpoint is gone; or as for `request_run`.
    """
    if epochs < 1:
        message = _("epochs is %(value)s; allowed is a number from 1.") % {"value": epochs}
        raise ConfigError(message, field="epochs", value=epochs)
    if run.status != JobStatus.SUCCEEDED:
        raise ServiceError(_("%(run)s has not succeeded; resume it instead.") % {"run": run})
    if not run.checkpoint:
        raise ServiceError(_("The last checkpoint of %(run)s was removed; clone it instead.") % {"run": run})
    if run.epochs.count() < sum(run.epochs_by_phase.values()):
        raise ServiceError(
            _("%(run)s stopped early, since it learned nothing more; more epochs would change nothing.") % {"run": run}
        )
    extension = TrainingRun(owner=owner, dataset=run.dataset, recipe=run.recipe, continues=run)
    extension.checkpoint, extension.checkpoint_sha256 = run.checkpoint, run.checkpoint_sha256
    extension.checkpoint_step = run.checkpoint_step
    longer = {**_settings_of(run), "epochs": run.config["epochs"] + epochs}
    with transaction.atomic():
        queue_run(extension, settings_by_name=longer, announce=announce)
        EpochMetric.objects.bulk_create(_copy_epochs(run, to=extension))
    return extension


def _settings_of(run: TrainingRun) -> dict[str, object]:
    return {name: value for name, value in run.config.items() if name != "recipe"}


def _copy_epochs(run: TrainingRun, *, to: TrainingRun) -> list[EpochMetric]:
    """Return the epochs of a run as the first ones of another, so that its curves are whole."""
    copies = list(run.epochs.all())
    for row in copies:
        row.pk, row.run = None, to
    return copies

"""Training runs: request, control, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.choices import ImportSource, JobStatus
from training.controls import derive_control, find_counterpart
from training.doorbell import EXECUTE_RUN, ring
from training.engine.config import TrainConfig
from training.engine.data_checks import count_exact_copies
from training.engine.exceptions import ConfigError
from training.exceptions import CopiesRefusedError, ServiceError
from training.models import Dataset, TrainingRun

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

from training.services.access import may_cancel
from training.services.room import LEAST_FREE_BYTES, require_free_bytes


def request_run(
    *, owner: User | None, dataset: Dataset, recipe: str, overrides: Mapping[str, object], announce: bool = True
) -> TrainingRun:
    """Queue a training run.

    Args:
        owner: Who asks; None for the command line.
        dataset: What to train on.
        recipe: Name of the set of defaults.
        overrides: Options that differ from the recipe's, by name.
        announce: Whether to wake a worker; not when the caller carries the run out itself.

    Raises:
        ConfigError: an option is unknown or its value not allowed; the message names it.
        CopiesRefusedError: test images are exact copies of training images, and nobody accepted that.
        ServiceError: there is no room on the disk.
    """
    for name in ("dataset", "recipe"):
        if name in overrides:
            message = _("%(name)s is chosen by itself, not among the options.") % {"name": name}
            raise ConfigError(message, field=name, value=overrides[name])
    return _queue_run(
        TrainingRun(owner=owner, dataset=dataset, recipe=recipe), settings_by_name=overrides, announce=announce
    )


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
        return _queue_run(control, settings_by_name=derive_control(run), announce=announce)


def _queue_run(run: TrainingRun, *, settings_by_name: Mapping[str, object], announce: bool) -> TrainingRun:
    """Check a run that is not saved yet, complete its configuration and queue it."""
    dataset = run.dataset
    if dataset.has_refused_copies:
        raise CopiesRefusedError(_describe_copies(dataset))
    config = TrainConfig.from_dict({**settings_by_name, "dataset": dataset.name, "recipe": run.recipe}).to_dict()
    del config["dataset"]
    run.config = config
    if run.is_transfer:
        _require_auxiliary(str(config["auxiliary_dataset"]), dataset=dataset)
    require_free_bytes(LEAST_FREE_BYTES)
    with transaction.atomic():
        run.full_clean()
        run.save()
        if announce:
            ring(EXECUTE_RUN, run.pk)
    return run


def _require_auxiliary(name: str, *, dataset: Dataset) -> None:
    """Make sure that a dataset to learn from first is there, and does not hold the test's images.

    Raises:
        ConfigError: there is no dataset of that name.
        CopiesRefusedError: the last check found test images in it, and nobody accepted that.
    """
    if not Dataset.objects.filter(name=name).exists():
        raise ConfigError(_describe_missing_auxiliary(name, dataset=dataset), field="auxiliary_dataset", value=name)
    copies = count_exact_copies(dataset.checks, among=name) if dataset.checks else 0
    if copies and dataset.copies_accepted_at is None:
        sentence = ngettext(
            "%(count)s test image of %(dataset)s is an exact copy of a training image of %(name)s; accept it with: "
            "manage.py check_dataset %(dataset)s --against %(name)s --accept-copies",
            "%(count)s test images of %(dataset)s are exact copies of training images of %(name)s; accept them with: "
            "manage.py check_dataset %(dataset)s --against %(name)s --accept-copies",
            copies,
        )
        raise CopiesRefusedError(sentence % {"count": copies, "dataset": dataset, "name": name})


def _describe_missing_auxiliary(name: str, *, dataset: Dataset) -> str:
    if name == ImportSource.STL10:
        return _(
            "auxiliary_dataset is “stl10”, which is not imported yet: import STL-10 under Data, or with: "
            "manage.py import_dataset --stl10"
        )
    known = ", ".join(Dataset.objects.exclude(pk=dataset.pk).values_list("name", flat=True)) or _("none so far")
    return _("auxiliary_dataset is “%(name)s”; allowed is the name of another imported dataset: %(known)s.") % {
        "name": name,
        "known": known,
    }


def _describe_copies(dataset: Dataset) -> str:
    count = dataset.exact_copies
    sentence = ngettext(
        "%(count)s test image of %(dataset)s is an exact copy of a training image; accept it on the dataset’s page, "
        "or with: manage.py check_dataset %(dataset)s --accept-copies",
        "%(count)s test images of %(dataset)s are exact copies of training images; accept them on the dataset’s page, "
        "or with: manage.py check_dataset %(dataset)s --accept-copies",
        count,
    )
    return sentence % {"count": count, "dataset": dataset}


def cancel_run(*, run: TrainingRun, by: User | None) -> None:
    """Ask for a run's end: at once when it is queued, within seconds when it is running.

    Args:
        run: The run.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: it is somebody else's run.
        ServiceError: it has ended already.
    """
    if by is not None and not may_cancel(run, by):
        raise PermissionDenied
    if not TrainingRun.request_cancel(run.pk):
        raise ServiceError(_("%(run)s has ended already.") % {"run": run})

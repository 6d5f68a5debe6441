"""Training runs: request, cancel, and what every way to ask for one shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.choices import ImportSource, JobStatus, Priority
from training.doorbell import EXECUTE_RUN, ring
from training.engine.config import TrainConfig
from training.engine.data_checks import count_exact_copies
from training.engine.exceptions import ConfigError
from training.exceptions import CopiesRefusedError, ServiceError
from training.models import Dataset, TrainingRun

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

from training.services.access import require_steering
from training.services.queues import require_priority, require_room_for
from training.services.room import LEAST_FREE_BYTES, require_free_bytes


def request_run(
    *,
    owner: User | None,
    dataset: Dataset,
    recipe: str,
    overrides: Mapping[str, object],
    priority: Priority = Priority.NORMAL,
    after: TrainingRun | None = None,
    announce: bool = True,
) -> TrainingRun:
    """Queue a training run.

    Args:
        owner: Who asks; None for the command line.
        dataset: What to train on.
        recipe: Name of the set of defaults.
        overrides: Options that differ from the recipe's, by name.
        priority: Whether it is taken before or after others; a high one is for operators.
        after: The run that has to succeed first.
        announce: Whether to wake a worker; not when the caller carries the run out itself.

    Returns:
        The run. Its `bell` tells whether a worker could be woken; it waits in any case.

    Raises:
        ConfigError: an option is unknown or its value not allowed; the message names it.
        CopiesRefusedError: test images are exact copies of training images, and nobody accepted that.
        PermissionDenied: the priority is not for them to give.
        ServiceError: there is no room on the disk, the owner has too many runs, or `after` will not succeed.
    """
    for name in ("dataset", "recipe"):
        if name in overrides:
            message = _("%(name)s is chosen by itself, not among the options.") % {"name": name}
            raise ConfigError(message, field=name, value=overrides[name])
    require_priority(priority, by=owner)
    if after is not None and after.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise ServiceError(_("%(run)s did not succeed; resume it first, or choose another run.") % {"run": after})
    run = TrainingRun(owner=owner, dataset=dataset, recipe=recipe, priority=priority, after=after)
    return queue_run(run, settings_by_name=overrides, announce=announce)


def queue_run(run: TrainingRun, *, settings_by_name: Mapping[str, object], announce: bool) -> TrainingRun:
    """Check a run that is not saved yet, complete its configuration and queue it.

    Raises:
        ConfigError: an option is unknown or its value not allowed.
        CopiesRefusedError: as for `request_run`.
        ServiceError: there is no room on the disk, or the owner has too many runs.
    """
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
        require_room_for(run.owner)
        run.full_clean()
        run.submit()
        if announce:
            run.bell = ring(EXECUTE_RUN, run.pk)
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
    require_steering(run, by)
    if not TrainingRun.request_cancel(run.pk, by=by):
        raise ServiceError(_("%(run)s has ended already.") % {"run": run})

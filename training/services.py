"""What may be asked of the training application. Pages, the API, the admin and commands all call these."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.db.models import ExpressionWrapper, Value, fields
from django.db.models.functions import Now
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.choices import ImportSource, JobStatus, ModelState
from training.controls import derive_control, find_counterpart
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN, MIRROR_CHAMPION, ring
from training.engine.config import TrainConfig
from training.engine.data_checks import REPORT_NAME, count_exact_copies, summarize_report, write_report
from training.engine.exceptions import ConfigError, PackageError
from training.engine.package import sync, verify_package
from training.exceptions import ClassesDifferError, CopiesRefusedError, NameTakenError, ServiceError
from training.jobs import Job
from training.models import Dataset, DatasetImport, ModelVersion, Promotion, TrainingRun, Worker
from training.storage import UPLOADS, artifacts, free_bytes

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

MEBIBYTE: Final = 1024 * 1024
# A run needs at most two checkpoints of some 50 MB, a package and its copy; CIFAR-10 as a dataset takes 184 MB, twice
# while it is written. Below this the site itself is about to fail.
LEAST_FREE_BYTES: Final = 512 * MEBIBYTE
# Archive and unpacked files lie there together until the import has ended.
DOWNLOAD_BYTES: Final = {ImportSource.CIFAR10: 350 * MEBIBYTE, ImportSource.STL10: 5_600 * MEBIBYTE}
WORKER_SEEN_WITHIN: Final = timedelta(seconds=30)
_PROMOTION_TRIES: Final = 20

logger = logging.getLogger(__name__)


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
    _require_free_bytes(LEAST_FREE_BYTES)
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


def accept_copies(*, dataset: Dataset, by: User | None) -> None:
    """Let runs use a dataset although test images of it are exact copies of training images; once and for good.

    Args:
        dataset: The dataset.
        by: Who accepts; None for the command line.

    Raises:
        PermissionDenied: they may not.
        ServiceError: there is nothing to accept, or it was accepted already.
    """
    if by is not None and not by.has_perm("training.accept_dataset_copies"):
        raise PermissionDenied
    if not dataset.has_copies:
        raise ServiceError(_("No test image of %(dataset)s is a copy of a training image.") % {"dataset": dataset})
    unaccepted = Dataset.objects.filter(pk=dataset.pk, copies_accepted_at=None)
    if not unaccepted.update(copies_accepted_at=Now(), copies_accepted_by=by):
        raise ServiceError(_("The copies in %(dataset)s were accepted already.") % {"dataset": dataset})
    dataset.refresh_from_db()
    logger.info("The exact copies in %s were accepted by %s", dataset, by or "the command line")


def record_checks(*, dataset: Dataset, report: Mapping[str, Any]) -> None:
    """Store a new report of a dataset's checks, beside its files and in its row.

    Raises:
        ServiceError: the report cannot be written.
    """
    try:
        write_report(report, dataset.path / REPORT_NAME)
    except OSError as error:
        raise ServiceError(_("The report could not be stored: %(why)s.") % {"why": error.strerror}) from error
    dataset.checks = summarize_report(report)
    dataset.save(update_fields=["checks"])


def may_cancel(job: Job, user: User) -> bool:
    """Whether `user` may stop a run or an import: their own, or anybody's with the permission for that."""
    return job.owner_id == user.pk or user.has_perm("training.manage_trainingrun")


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


def request_import(
    *,
    owner: User | None,
    name: str,
    source: ImportSource,
    upload: UploadedFile[Any] | None = None,
    source_path: Path | None = None,
    skip_unreadable: bool = False,
    notes: str = "",
    announce: bool = True,
) -> DatasetImport:
    """Queue the making of a dataset.

    Args:
        owner: Who asks; None for the command line.
        name: The dataset's name.
        source: Where it comes from.
        upload: The archive, when it was sent; it is removed after the import.
        source_path: The archive or folder, when it lies on the worker's machine.
        skip_unreadable: Whether unreadable images are left out instead of stopping the import.
        notes: What a reader of the manifest should know.
        announce: Whether to wake a worker; not when the caller carries the import out itself.

    Raises:
        NameTakenError: a dataset, or an import under way, has that name.
        ServiceError: the name or the source cannot be used, or there is no room on the disk.
    """
    _check_source(source, upload=upload, source_path=source_path)
    needed_bytes = LEAST_FREE_BYTES + DOWNLOAD_BYTES.get(source, 0) + (upload.size or 0 if upload else 0)
    job = DatasetImport(
        owner=owner,
        name=name,
        source=source,
        source_path="" if source_path is None else str(source_path.resolve()),
        owns_source=upload is not None,
        skip_unreadable=skip_unreadable,
        notes=notes,
    )
    try:
        job.full_clean()
    except ValidationError as error:
        parts = [f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()]
        raise ServiceError(" ".join(parts)) from error
    _require_free_name(name)
    _require_free_bytes(needed_bytes)
    stored = None if upload is None else _store_upload(upload)
    try:
        with transaction.atomic():
            if stored is not None:
                job.source_path = f"{UPLOADS}/{stored.name}"
            job.save()
            if announce:
                ring(EXECUTE_IMPORT, job.pk)
    except BaseException:  # whatever it is, the file goes with the row
        if stored is not None:
            stored.unlink(missing_ok=True)
        raise
    return job


def cancel_import(*, job: DatasetImport, by: User | None) -> None:
    """Ask for an import's end: at once when it is queued, within seconds when it is running.

    Args:
        job: The import.
        by: Who asks; None for the command line.

    Raises:
        PermissionDenied: it is somebody else's import.
        ServiceError: it has ended already.
    """
    if by is not None and not may_cancel(job, by):
        raise PermissionDenied
    if not DatasetImport.request_cancel(job.pk):
        raise ServiceError(_("The import of %(name)s has ended already.") % {"name": job.name})


def promote_version(
    *, version: ModelVersion, by: User | None, accept_class_change: bool = False, announce: bool = True
) -> Promotion:
    """Make a version the champion; every web process answers with it within two seconds.

    The package is verified first. The change of champion is one transaction of conditional updates, repeated when
    somebody else promotes at the same moment.

    Args:
        version: The version.
        by: Who asks; None for the command line.
        accept_class_change: Whether it may know other classes than the champion of now.
        announce: Whether to wake a worker, for MLflow's alias; not while the site is still being prepared.

    Raises:
        ClassesDifferError: it knows other classes, and that was not accepted.
        ServiceError: it is the champion already, or its files are not those that were registered.
    """
    _require_sound_package(version)
    for _try in range(_PROMOTION_TRIES):
        previous = ModelVersion.objects.champion()
        if previous is not None and previous.pk == version.pk:
            raise ServiceError(_("%(version)s is the champion already.") % {"version": version})
        if previous is not None and previous.class_keys != version.class_keys and not accept_class_change:
            raise ClassesDifferError(_describe_class_change(previous, version))
        promotion = _change_champion(previous, version, by=by)
        if promotion is not None:
            version.state = ModelState.CHAMPION
            logger.info("%s is the champion now, chosen by %s", version, by or "the command line")
            if announce and settings.MLFLOW_TRACKING_URI:
                ring(MIRROR_CHAMPION, promotion.pk)
            return promotion
    raise ServiceError(_("Too many promotions at the same time; try again."))


def has_training_worker() -> bool:
    """Whether a worker that carries out runs and imports was heard of lately."""
    since = ExpressionWrapper(Now() - Value(WORKER_SEEN_WITHIN), output_field=fields.DateTimeField())
    return any("training" in worker.queues for worker in Worker.objects.filter(last_seen_at__gte=since))


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


class _ChampionMovedError(Exception):
    """Somebody else changed the champion meanwhile."""


def _change_champion(previous: ModelVersion | None, version: ModelVersion, *, by: User | None) -> Promotion | None:
    """Replace `previous` by `version`, all or nothing; None when somebody else changed the champion meanwhile."""
    champions = ModelVersion.objects.filter(state=ModelState.CHAMPION)
    others = ModelVersion.objects.exclude(state=ModelState.CHAMPION)
    try:
        with transaction.atomic():
            if previous is not None and not champions.filter(pk=previous.pk).update(state=ModelState.ARCHIVED):
                raise _ChampionMovedError
            if not others.filter(pk=version.pk).update(state=ModelState.CHAMPION):
                raise _ChampionMovedError
            return Promotion.objects.create(version=version, previous=previous, by=by)
    except (IntegrityError, _ChampionMovedError):  # the constraint allows one champion
        return None


def _require_sound_package(version: ModelVersion) -> None:
    try:
        manifest = verify_package(version.path)
    except (PackageError, OSError) as error:
        logger.warning("%s cannot be promoted: %s", version, error)
        message = _("%(version)s cannot be promoted: its files are not those that were registered.")
        raise ServiceError(message % {"version": version}) from error
    if manifest.sha256 != version.package_sha256:
        message = _("%(version)s cannot be promoted: its folder holds another model.")
        raise ServiceError(message % {"version": version})


def _describe_class_change(previous: ModelVersion, version: ModelVersion) -> str:
    return _("%(version)s knows other classes (%(new)s) than the champion %(previous)s (%(old)s).") % {
        "version": version,
        "new": ", ".join(version.class_keys[:12]),
        "previous": previous,
        "old": ", ".join(previous.class_keys[:12]),
    }


def _check_source(source: ImportSource, *, upload: UploadedFile[Any] | None, source_path: Path | None) -> None:
    """Make sure that an archive, and only an archive, comes with a file or a path.

    Raises:
        ServiceError: it does not.
    """
    if source != ImportSource.ARCHIVE:
        if upload is not None or source_path is not None:
            raise ServiceError(_("This source takes no archive and no folder."))
        return
    if (upload is None) == (source_path is None):
        raise ServiceError(_("Give an archive or a folder."))
    if source_path is not None and not source_path.exists():
        raise ServiceError(_("There is no archive or folder at %(path)s.") % {"path": source_path})
    if upload is not None and (upload.size or 0) > settings.ARCHIVE_MAX_BYTES:
        limit = filesizeformat(settings.ARCHIVE_MAX_BYTES)
        raise ServiceError(_("The archive is larger than %(limit)s, the most that is taken.") % {"limit": limit})


def _require_free_name(name: str) -> None:
    if Dataset.objects.filter(name=name).exists():
        raise NameTakenError(_("A dataset named %(name)s exists already.") % {"name": name})
    if DatasetImport.objects.active().filter(name=name).exists():
        raise NameTakenError(_("A dataset named %(name)s is being imported already.") % {"name": name})


def _require_free_bytes(wanted: int) -> None:
    try:
        free = free_bytes()
    except OSError as error:
        raise ServiceError(_("The folder for results cannot be used: %(why)s.") % {"why": error.strerror}) from error
    if free < wanted:
        sizes = {"free": filesizeformat(free), "wanted": filesizeformat(wanted)}
        raise ServiceError(_("The disk is almost full: %(free)s are free, %(wanted)s are needed.") % sizes)


def _store_upload(upload: UploadedFile[Any]) -> Path:
    """Write an upload under a name of our own, synced to the disk.

    Raises:
        ServiceError: it cannot be written.
    """
    target = artifacts(UPLOADS, secrets.token_hex(16))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        sync(target)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise ServiceError(_("The archive could not be stored: %(why)s.") % {"why": error.strerror}) from error
    return target

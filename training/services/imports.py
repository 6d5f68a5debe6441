"""Dataset imports: request and cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from training.choices import ImportSource
from training.doorbell import EXECUTE_IMPORT, ring
from training.exceptions import NameTakenError, ServiceError
from training.models import Dataset, DatasetImport

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

from training.services.access import require_steering
from training.services.room import LEAST_FREE_BYTES, MEBIBYTE, require_free_bytes
from training.services.uploads import drop_upload, store_upload

# Archive and unpacked files lie there together until the import has ended.
DOWNLOAD_BYTES: Final = {ImportSource.CIFAR10: 350 * MEBIBYTE, ImportSource.STL10: 5_600 * MEBIBYTE}


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
    job = prepare_import(
        owner=owner,
        name=name,
        source=source,
        upload=upload,
        source_path=source_path,
        skip_unreadable=skip_unreadable,
        notes=notes,
    )
    return queue_import(job=job, announce=announce)


def prepare_import(
    *,
    owner: User | None,
    name: str,
    source: ImportSource,
    upload: UploadedFile[Any] | None = None,
    source_path: Path | None = None,
    skip_unreadable: bool = False,
    notes: str = "",
) -> DatasetImport:
    """Check what is asked for and keep the archive, as the first half of `request_import`.

    What no row names is removed within hours.

    Returns:
        The job, which is not saved yet.

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
    require_free_bytes(needed_bytes)
    if upload is not None:
        job.source_path = store_upload(upload)
    return job


def queue_import(*, job: DatasetImport, announce: bool = True) -> DatasetImport:
    """Queue a prepared import, as the second half of `request_import`.

    Raises:
        NameTakenError: a dataset, or an import under way, has that name by now; a sent archive is gone then.
    """
    try:
        with transaction.atomic():
            _require_free_name(job.name)
            job.submit()
            if announce:
                job.bell = ring(EXECUTE_IMPORT, job.pk)
    except BaseException:  # whatever it is, the file goes with the row
        if job.owns_source:
            drop_upload(job.source_path)
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
    require_steering(job, by)
    if not DatasetImport.request_cancel(job.pk, by=by):
        raise ServiceError(_("The import of %(name)s has ended already.") % {"name": job.name})


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

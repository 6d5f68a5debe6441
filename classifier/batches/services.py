"""What may be asked about batch jobs: one to be made, stopped, gone on with, or deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifier.archives import SURVEY_SECONDS, ArchiveRejected, Survey, survey_archive
from classifier.choices import EXECUTE_BATCH, Source
from classifier.file_names import harmless_name
from classifier.models import BatchJob
from training.choices import TERMINAL_STATUSES, QueueName
from training.doorbell import ring
from training.exceptions import ServiceError
from training.models import JobQueue
from training.services.room import LEAST_FREE_BYTES, require_free_bytes
from training.services.uploads import drop_upload, store_upload

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """An archive that is kept and was looked through, and that no row names yet.

    Attributes:
        location: Where it lies.
        size_bytes: What it takes.
        name: What the person calls it; "" for several pictures.
        pictures: How many it holds; None where they are counted later.
    """

    location: str
    size_bytes: int
    name: str
    pictures: int | None


def request_batch(*, owner: User, upload: UploadedFile[Any], name: str, source: Source) -> BatchJob:
    """Queue the answering of an archive's pictures.

    Args:
        owner: Who asks, and who alone sees the answers.
        upload: The archive.
        name: What the person calls it; "" for several pictures.
        source: By which way it came.

    Returns:
        The queued job; its `bell` tells whether a worker could be woken.

    Raises:
        ArchiveRejected: the archive is not taken.
        ServiceError: the owner has too many batches under way, or the archive cannot be stored.
    """
    return queue_batch(owner=owner, stored=store_archive(owner=owner, upload=upload, name=name), source=source)


def store_archive(*, owner: User, upload: UploadedFile[Any], name: str) -> StoredArchive:
    """Look through an archive and keep it, as the first half of `request_batch`; what no row names is removed later.

    Raises:
        ArchiveRejected: the archive is not taken.
        ServiceError: the owner has too many batches under way, or the archive cannot be stored.
    """
    size = upload.size or 0
    if size > settings.ARCHIVE_MAX_BYTES:
        limit = filesizeformat(settings.ARCHIVE_MAX_BYTES)
        detail = _("The archive is larger than %(limit)s, the most that is taken.") % {"limit": limit}
        raise ArchiveRejected("too_large", 413, detail)
    _require_room_for(owner)
    require_free_bytes(LEAST_FREE_BYTES + size)
    surveys: list[Survey] = []

    def check(path: Path) -> None:
        surveys.append(survey_archive(path, seconds=SURVEY_SECONDS))

    location = store_upload(upload, check=check)
    return StoredArchive(location, size, harmless_name(name), surveys[0].pictures)


def queue_batch(*, owner: User, stored: StoredArchive, source: Source) -> BatchJob:
    """Queue the answering of a stored archive's pictures, as the second half of `request_batch`.

    Raises:
        ServiceError: the owner has too many batches under way; the archive is gone then.
    """
    try:
        job = BatchJob(
            owner=owner,
            source=source,
            name=stored.name,
            archive=stored.location,
            archive_bytes=stored.size_bytes,
            progress_total=stored.pictures or 0,
        )
        with transaction.atomic():
            JobQueue.hold(QueueName.INFERENCE)  # or two requests at once could each find room for one
            _require_room_for(owner)
            job.submit()
            job.bell = ring(EXECUTE_BATCH, job.pk)
    except BaseException:  # whatever it is, the file goes with the row
        drop_upload(stored.location)
        raise
    return job


def cancel_batch(*, job: BatchJob, by: User | None) -> None:
    """Ask for a batch's end: at once when it is queued, within seconds when it is running. Its answers stay.

    Raises:
        ServiceError: it has ended already.
    """
    if not BatchJob.request_cancel(job.pk, by=by):
        raise ServiceError(_("%(job)s has ended already.") % {"job": job})


def resume_batch(*, job: BatchJob, by: User | None) -> BatchJob:
    """Let a batch that failed or was cancelled go on with the first entry that has no answer.

    Returns:
        The queued job; its `bell` tells whether a worker could be woken.

    Raises:
        ServiceError: it is in another state, its archive is gone, or the owner has too many batches under way.
    """
    with transaction.atomic():
        JobQueue.hold(QueueName.INFERENCE)
        _require_room_for(job.owner)
        if not BatchJob.resume(job.pk, by=by):
            raise ServiceError(_("%(job)s neither failed nor was it cancelled.") % {"job": job})
        job.refresh_from_db()
        if not job.archive:
            raise ServiceError(_("The pictures of %(job)s were removed meanwhile: send them again.") % {"job": job})
        job.bell = ring(EXECUTE_BATCH, job.pk)
    return job


def delete_batch(*, job: BatchJob) -> None:
    """Delete a batch that has ended, with its answers and its archive.

    Raises:
        ServiceError: it has not ended.
    """
    with transaction.atomic():
        ended = BatchJob.objects.select_for_update().filter(pk=job.pk, status__in=TERMINAL_STATUSES).first()
        if ended is None:
            raise ServiceError(_("%(job)s has not ended: cancel it first.") % {"job": job})
        archive = ended.archive
        ended.delete()
    if archive:
        drop_upload(archive)


def _require_room_for(owner: User) -> None:
    """Make sure that a person has fewer batches under way than are allowed.

    Raises:
        ServiceError: they have not.
    """
    limit = settings.BATCH_JOBS_PER_USER
    if limit and BatchJob.objects.active().owned_by(owner).count() >= limit:
        sentence = ngettext(
            "You have %(count)d batch under way, the most that is allowed: wait for its end, or cancel it.",
            "You have %(count)d batches under way, the most that is allowed: wait for the end of one, or cancel one.",
            limit,
        )
        raise ServiceError(sentence % {"count": limit})

"""`manage.py batch ARCHIVE --user NAME`: what the page and the API do, for an archive on this machine."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import UploadedFile
from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from classifier.archives import ArchiveRejected
from classifier.batches.bodies import batch_detail
from classifier.batches.services import request_batch
from classifier.batches.waiting import BatchWaitsFor, describe_batch_waiting
from classifier.choices import Source
from classifier.models import BatchJob
from training.choices import JobStatus
from training.exceptions import ServiceError
from training.management.following import INTERRUPTED, POLL_SECONDS, Display

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_WHY: Final = {
    BatchWaitsFor.QUEUE: "The inference queue is paused, so this waits (`manage.py queue --unpause inference`).",
    BatchWaitsFor.NO_WORKER: "No worker is running, so this waits. Start one with `make up`.",
    BatchWaitsFor.MODEL: "No model is ready, so this waits (`manage.py promote`).",
}


class Command(BaseCommand):
    """Queues a batch and, when told to, watches it to its end."""

    help = "Classify the pictures of an archive (.zip, .tar, .tar.gz, .tar.xz) in a worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("archive", type=Path, metavar="ARCHIVE")
        parser.add_argument("--user", metavar="USERNAME", required=True, help="whose batch it is; nobody else sees it")
        parser.add_argument("--wait", action="store_true", help="watch it to its end; exit code 1 unless it succeeds")
        parser.add_argument("--json", action="store_true", help="print it as a JSON object, in the API's shape")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Queue it, watch it if that was asked for, and tell.

        Raises:
            CommandError: the archive is not taken, or the batch did not succeed.
        """
        job = _request(options["archive"], owner=_find_owner(options["user"]))
        display = Display(self.stderr if options["json"] else self.stdout)
        if options["wait"]:
            _follow(job, display=display)
        job = BatchJob.objects.with_version().get(pk=job.pk)
        if options["json"]:
            self.stdout.write(json.dumps(batch_detail(job), cls=DjangoJSONEncoder))
        else:
            display.show_line(_describe(job))
        if options["wait"] and job.status != JobStatus.SUCCEEDED:
            raise CommandError(f"{job}: {job.get_status_display()}. {job.detail}".strip())


def _request(archive: Path, *, owner: User) -> BatchJob:
    """Queue the batch.

    Raises:
        CommandError: the archive cannot be read or is not taken.
    """
    try:
        with archive.open("rb") as file:
            upload = UploadedFile(file=file, name=archive.name, size=archive.stat().st_size)
            return request_batch(owner=owner, upload=upload, name=archive.name, source=Source.COMMAND)
    except OSError as error:
        raise CommandError(f"{archive}: {error.strerror}.") from error
    except ArchiveRejected as rejected:
        raise CommandError(f"{archive}: {rejected.detail}") from rejected
    except ServiceError as error:
        raise CommandError(str(error)) from error


def _follow(job: BatchJob, *, display: Display) -> None:
    """Watch a batch until it ends.

    Raises:
        SystemExit: Ctrl-C: the watching ends, the batch does not.
    """
    waiting = describe_batch_waiting(job)
    if waiting is not None and waiting.waits_for in _WHY:
        display.show_line(_WHY[waiting.waits_for])
    try:
        while True:
            job.refresh_from_db()
            if job.is_terminal:
                return
            display.show_progress(done=job.progress_done, total=job.progress_total, message=_pace(job))
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        display.show_line(f"{job} goes on without you; its page and the API show it.")
        raise SystemExit(INTERRUPTED) from None


def _pace(job: BatchJob) -> str:
    if job.items_per_second is None:
        return job.status
    left = "" if job.seconds_left is None else f", {job.seconds_left:.0f} s left"
    return f"{job.progress_done:,} of {job.progress_total:,}, {job.items_per_second:,.0f}/s{left}"


def _describe(job: BatchJob) -> str:
    figures = [f"{job}: {job.get_status_display()}", f"{job.progress_done:,} of {job.progress_total:,} pictures"]
    if job.error_count:
        figures.append(f"{job.error_count:,} not readable")
    if job.metrics:
        figures.append(f"accuracy {job.metrics['accuracy']:.2%} on {job.metrics['count']:,} labelled ones")
    return ", ".join(figures) + "."


def _find_owner(username: str) -> User:
    """Return the person of that name.

    Raises:
        CommandError: there is none.
    """
    owner = get_user_model().objects.filter(is_active=True, username=username).first()
    if owner is None:
        raise CommandError(f"There is no active account named {username!r}.")
    return owner

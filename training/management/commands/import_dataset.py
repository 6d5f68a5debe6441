"""`manage.py import_dataset NAME PATH`, `… NAME --cifar10`, `--stl10` or `… --demo`: queue an import and watch it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import runner
from training.choices import ImportSource
from training.exceptions import ServiceError
from training.management.following import Display, follow, require_success
from training.models import DatasetImport
from training.services import request_import


class Command(BaseCommand):
    """Queues an import, as the page does, and watches it to its end."""

    help = (
        "Make a dataset of an archive or a folder, of CIFAR-10's or STL-10's download, or of shapes drawn on the spot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("name", nargs="?", default="", help="the dataset's name; default: cifar10, stl10 or demo")
        parser.add_argument("path", nargs="?", type=Path, help="archive (.zip, .tar, .tar.gz, .tar.xz) or folder")
        kinds = parser.add_mutually_exclusive_group()
        kinds.add_argument("--cifar10", action="store_true", help="download CIFAR-10, with its checksums")
        kinds.add_argument("--stl10", action="store_true", help="download STL-10, with its checksums; 2.6 GB")
        kinds.add_argument("--demo", action="store_true", help="draw ten classes of synthetic shapes in seconds")
        parser.add_argument("--skip-unreadable", action="store_true", help="leave out unreadable images and list them")
        parser.add_argument("--notes", default="", help="kept in the dataset's manifest")
        parser.add_argument("--here", action="store_true", help="import in this process instead of a worker")
        parser.add_argument("--no-wait", action="store_true", help="do not watch the import")
        parser.add_argument("--json", action="store_true", help="print the import as one JSON object at the end")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Queue the import and, unless told otherwise, watch it."""
        source = _choose_source(options)
        if source != ImportSource.ARCHIVE and not options["name"]:
            options["name"] = source.value
        try:
            job = request_import(
                owner=None,
                name=options["name"],
                source=source,
                source_path=options["path"],
                skip_unreadable=options["skip_unreadable"],
                notes=options["notes"],
                announce=not options["here"],
            )
        except ServiceError as error:
            raise CommandError(str(error)) from error
        display = Display(self.stderr if options["json"] else self.stdout)
        if options["here"]:
            runner.execute_import(job.pk, listener=display.show_event)
            job.refresh_from_db()
        elif not options["no_wait"]:
            follow(job, display=display)
        if options["json"]:
            self.stdout.write(json.dumps(describe_import(job)))
        elif job.dataset is not None:
            dataset = job.dataset
            display.show_line(
                f"Dataset {dataset}: {dataset.train_count:,} training and {dataset.test_count:,} test images, "
                f"{len(dataset.class_keys)} classes, {len(dataset.manifest['skipped'])} files left out."
            )
        if not options["no_wait"]:
            require_success(job)


def _choose_source(options: dict[str, Any]) -> ImportSource:
    """Return what the arguments ask for.

    Raises:
        CommandError: they ask for nothing, or for two things.
    """
    chosen = [source for source in (ImportSource.CIFAR10, ImportSource.STL10, ImportSource.DEMO) if options[source]]
    if chosen:
        if options["path"] is not None:
            message = "Give either a path, or --cifar10, or --stl10, or --demo."
            raise CommandError(message)
        return chosen[0]
    if options["path"] is None:
        message = "Say what to import: NAME and the PATH of an archive or a folder, or --cifar10, --stl10 or --demo."
        raise CommandError(message)
    return ImportSource.ARCHIVE


def describe_import(job: DatasetImport) -> dict[str, Any]:
    """Return what a program wants to know about an import."""
    dataset = job.dataset
    return {
        "import": job.pk,
        "name": job.name,
        "status": job.status,
        "reason": job.reason,
        "detail": job.detail,
        "sha256": dataset and dataset.sha256,
        "train_count": dataset and dataset.train_count,
        "test_count": dataset and dataset.test_count,
        "class_keys": dataset and dataset.class_keys,
        "skipped": dataset and dataset.manifest["skipped"],
    }

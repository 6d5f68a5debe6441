"""`manage.py import_package FILE|FOLDER`: take in a model package from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.exceptions import ServiceError
from training.management.descriptions import describe_version
from training.services import import_package


class Command(BaseCommand):
    """Imports a package, as the page does."""

    help = (
        "Import a model package, an archive or a folder, once everything about it was checked. It becomes a candidate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("source", type=Path, help="a .zip, .tar, .tar.gz or .tar.xz, or a folder")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Take it in."""
        try:
            taken = import_package(source=options["source"], by=None)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        version = taken.version
        if options["json"]:
            self.stdout.write(json.dumps({**describe_version(version), "is_new": taken.is_new}))
        elif taken.is_new:
            self.stdout.write(
                f"{version} was imported: {version.test_accuracy:.2%} on its test split. "
                f"Make it answer with: manage.py promote {version}"
            )
        else:
            self.stdout.write(f"{version} is that package already; it is {version.state}.")

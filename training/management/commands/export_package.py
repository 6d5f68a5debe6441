"""`manage.py export_package VERSION FILE.zip`: a model package to take elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.exceptions import ServiceError
from training.management.descriptions import describe_version
from training.management.lookups import find_version
from training.services import export_package


class Command(BaseCommand):
    """Exports a package, as the API does."""

    help = "Write a model version's package to a zip archive, which `import_package` takes elsewhere."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("version", help="number (7 or v7), or the first characters of the package's hash")
        parser.add_argument("target", type=Path, help="the .zip file to write; it must not exist yet")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Write it."""
        version, target = find_version(options["version"]), options["target"]
        try:
            export_package(version=version, target=target)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        size = target.stat().st_size
        if options["json"]:
            self.stdout.write(json.dumps({**describe_version(version), "file": str(target), "bytes": size}))
        else:
            self.stdout.write(f"{version} is in {target}: {size:,} bytes.")

"""`manage.py backup FILE.tar`: database and artifacts in one archive, while the site runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from cifarsite.backup.archive import BackupError
from cifarsite.backup.create import create_backup


class Command(BaseCommand):
    """Makes a backup."""

    help = "Save the database and the artifacts in one archive. The site may go on meanwhile."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="archive to make, FILE.tar; nothing is overwritten")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Make it."""
        target = options["file"].absolute()
        try:
            size = create_backup(target)
        except BackupError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{target}: {filesizeformat(size)}")

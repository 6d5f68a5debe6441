"""`manage.py restore FILE.tar`: a backup into an empty database and an empty store of artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cifarsite.backup.archive import BackupError
from cifarsite.backup.restore import restore_backup


class Command(BaseCommand):
    """Restores a backup."""

    help = "Restore a backup into an empty database and an empty store of artifacts: all of it or nothing."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="archive that manage.py backup made")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Restore it."""
        path = options["file"].absolute()
        try:
            manifest = restore_backup(path)
        except BackupError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be restored: {error.strerror}.") from error
        self.stdout.write(f"Restored {len(manifest['members'])} files of {manifest['created_at']}.")
        self.stdout.write("Compare rows and files with: manage.py audit")

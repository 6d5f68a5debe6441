"""`manage.py account_data USERNAME`: write everything that the site keeps of a person into one archive."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cifarsite.accounts.personal_data import write_archive
from cifarsite.management.people import find_person


class Command(BaseCommand):
    """Write the archive that a person can download on their account page."""

    help = "Write everything that the site keeps of a person into a ZIP archive."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("--output", type=Path, help="where to (default: USERNAME.zip here)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Write it.

        Raises:
            CommandError: no such person, or the file cannot be written.
        """
        user = find_person(options["username"])
        path: Path = options["output"] or Path(f"{user.username}.zip")
        try:
            with path.open("wb") as file:
                for part in write_archive(user, language=user.language or settings.LANGUAGE_CODE):
                    file.write(part)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self.stdout.write(str(path))

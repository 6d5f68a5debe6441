"""`manage.py preview_augmentations --output FILE.png`: a picture of every augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Draws what each augmentation does to synthetic shapes."""

    help = "Draw a picture of every augmentation on synthetic shapes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--output", type=Path, required=True, metavar="FILE.png", help="the picture's file")
        parser.add_argument("--seed", type=int, default=0, help="start of every random draw (default: 0)")

    def handle(self, *, output: Path, seed: int, **_options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Draw the picture and write it.

        Raises:
            CommandError: the file is no PNG by its name, or cannot be written.
        """
        if output.suffix != ".png":
            message = f"--output is {output}; allowed is a file whose name ends in .png."
            raise CommandError(message)
        from training.engine.preview import draw_preview  # noqa: PLC0415 - torch takes seconds to import

        try:
            draw_preview(seed=seed).save(output)
        except OSError as error:
            message = f"{output} cannot be written: {error.strerror}."
            raise CommandError(message) from error
        self.stdout.write(f"{output} is drawn.")

"""`manage.py preview_augmentations`: a picture of every augmentation, or those of a dataset's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.engine.exceptions import DatasetError
from training.management.lookups import find_dataset
from training.models import Dataset
from training.store import publish


class Command(BaseCommand):
    """Draws what each augmentation does to synthetic shapes, or each recipe to images of a dataset."""

    help = "Draw every augmentation on synthetic shapes, or what each recipe makes of a dataset's own images."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("--output", type=Path, metavar="FILE.png", help="the picture's file")
        wanted.add_argument(
            "--dataset", metavar="NAME", help="draw images of this dataset instead, for its page, as its import does"
        )
        parser.add_argument("--seed", type=int, default=0, help="start of every random draw of --output (default: 0)")

    def handle(self, *, output: Path | None, dataset: str | None, seed: int, **_options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Draw.

        Raises:
            CommandError: there is no such dataset, the file is no PNG by its name, or something cannot be written.
        """
        if dataset is not None:
            _draw_images_of(find_dataset(dataset))
            self.stdout.write(f"What each recipe makes of images of {dataset} is drawn; its page shows it.")
        elif output is not None:
            _draw_shapes(output, seed=seed)
            self.stdout.write(f"{output} is drawn.")


def _draw_images_of(dataset: Dataset) -> None:
    from training.engine.dataset_preview import draw_previews  # noqa: PLC0415 - torch takes seconds to import

    try:
        draw_previews(dataset.path)
        publish(dataset.location)
    except DatasetError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        message = f"The pictures of {dataset} cannot be stored: {error.strerror}."
        raise CommandError(message) from error


def _draw_shapes(output: Path, *, seed: int) -> None:
    if output.suffix != ".png":
        message = f"--output is {output}; allowed is a file whose name ends in .png."
        raise CommandError(message)
    from training.engine.preview import draw_preview  # noqa: PLC0415 - torch takes seconds to import

    try:
        draw_preview(seed=seed).save(output)
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror}."
        raise CommandError(message) from error

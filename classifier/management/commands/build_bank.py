"""`manage.py build_bank DATASET`: let answers show the most alike images of a dataset."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.activation_maps import NoActivationMapError
from classifier.neighbours import BANK_IMAGES, build_bank
from training.management.following import Display
from training.management.lookups import find_dataset, find_version
from training.models import ModelVersion


class Command(BaseCommand):
    """Looks at a dataset's training images with a model, in this process, and keeps what it sees of each."""

    help = "Let the answers of a model show the most alike training images of a dataset; run it on the web's machine."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("dataset", help="name of an imported dataset")
        parser.add_argument("--model", metavar="VERSION", help="without it, the model that answers")
        parser.add_argument("--images", type=int, default=BANK_IMAGES, help="how many (default: %(default)s)")
        parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Make the bank.

        Raises:
            CommandError: there is no such dataset or version, or its files cannot be used.
        """
        dataset = find_dataset(options["dataset"])
        version = find_version(options["model"]) if options["model"] else ModelVersion.objects.champion()
        if version is None:
            raise CommandError("No model version was promoted yet: name one with --model.")
        if options["images"] < 1:
            raise CommandError("--images is 1 or more.")
        display = Display(self.stderr if options["json"] else self.stdout)
        try:
            images = build_bank(
                version=version,
                dataset=dataset,
                images=options["images"],
                on_progress=lambda done, total: display.show_progress(done=done, total=total, message="images seen"),
            )
        except (NoActivationMapError, OSError, ValueError) as error:
            raise CommandError(f"The bank cannot be made: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"model_version": str(version), "dataset": dataset.name, "images": images}))
        else:
            display.show_line(f"{version} compares its answers with {images:,} images of {dataset} from now on.")

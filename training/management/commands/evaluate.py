"""`manage.py evaluate VERSION --dataset NAME`: measure a model version on any dataset's test images."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.answers import keep_answers
from training.management.engine_process import run_engine
from training.management.evaluation_tables import describe_evaluation
from training.management.following import Display
from training.management.lookups import find_dataset, find_version


class Command(BaseCommand):
    """Measures a stored package in an engine of its own, and keeps what it answered for the version's page."""

    help = "Measure a model version on the test images of an imported dataset with the same classes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("version", help="number (7 or v7), or the first characters of the package's hash")
        parser.add_argument("--dataset", required=True, help="name of an imported dataset")
        parser.add_argument(
            "--tta", action="store_true", help="measure test-time augmentation as well: six times the work"
        )
        parser.add_argument("--json", action="store_true", help="print everything as one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Measure and show."""
        version, dataset = find_version(options["version"]), find_dataset(options["dataset"])
        display = Display(self.stderr if options["json"] else self.stdout)
        arguments = ["--package", str(version.path), "--dataset", str(dataset.path)]
        arguments += ["--tta"] if options["tta"] else []
        arguments += ["--threads", str(settings.TRAINING_THREADS)] if settings.TRAINING_THREADS else []
        report = run_engine("evaluate", *arguments, display=display)["report"]
        if options["json"]:
            self.stdout.write(json.dumps({"version": str(version), **report}))
        else:
            display.show_line(f"{version} on the {dataset.test_count:,} test images of {dataset.name}")
            for line in describe_evaluation(report):
                display.show_line(line)
        try:
            keep_answers(version=version, dataset=dataset, answers=report["answers"])
        except OSError as error:
            message = f"The answers could not be kept: {error.strerror}."
            raise CommandError(message) from error

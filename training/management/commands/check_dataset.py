"""`manage.py check_dataset NAME`: look for copies, contradictions and empty pictures in an imported dataset."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.engine.data_checks import check_dataset
from training.engine.exceptions import DatasetError
from training.exceptions import ServiceError
from training.management.following import Display
from training.management.lookups import find_dataset
from training.models import Dataset
from training.services import accept_copies, record_checks


class Command(BaseCommand):
    """Checks a dataset in this process and stores the report, as its import did."""

    help = "Check a dataset for copies within and across its splits, contradicting labels and empty pictures."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("name", help="name of an imported dataset")
        parser.add_argument(
            "--against",
            action="extend",
            nargs="+",
            default=[],
            metavar="NAME",
            help="other datasets, whose training images are compared as well",
        )
        parser.add_argument(
            "--accept-copies",
            action="store_true",
            help="let runs use it although test images are in its training split",
        )
        parser.add_argument("--json", action="store_true", help="print the whole report as one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Check, store, and accept if that was asked for."""
        dataset, *others = [find_dataset(name) for name in (options["name"], *options["against"])]
        display = Display(self.stderr if options["json"] else self.stdout)
        try:
            report = check_dataset(
                dataset.path,
                against=[other.path for other in others],
                on_progress=lambda done, total, message: display.show_progress(done=done, total=total, message=message),
            )
            record_checks(dataset=dataset, report=report)
            if options["accept_copies"]:
                accept_copies(dataset=dataset, by=None)
        except (DatasetError, ServiceError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            _show(report, dataset=dataset, display=display)


def _show(report: dict[str, Any], *, dataset: Dataset, display: Display) -> None:
    for split, found in report["splits"].items():
        display.show_line(
            f"{split}: {found['images']:,} images, {found['constant']:,} of a single colour, "
            f"smallest class {found['balance']:.0%} of the largest"
        )
    for found in report["comparisons"]:
        display.show_line(
            f"{found['first']} in {found['second']}: {found['exact']:,} exact copies, {found['near']:,} near copies, "
            f"{found['conflicting']:,} with another class"
        )
    if dataset.has_refused_copies:
        display.show_line(f"No run uses {dataset} until its exact copies are accepted with --accept-copies.")

"""`manage.py evaluate VERSION --dataset NAME`: queue the evaluation of a model version and watch it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import runner
from training.exceptions import ServiceError
from training.management.evaluation_tables import describe_evaluation
from training.management.following import Display, follow, require_success
from training.management.lookups import find_dataset, find_version
from training.models import Evaluation
from training.services import request_evaluation


class Command(BaseCommand):
    """Queues an evaluation, as the version's page does, and watches it to its end."""

    help = "Measure a model version on the test images of an imported dataset with the same classes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("version", help="number (7 or v7), or the first characters of the package's hash")
        parser.add_argument("--dataset", required=True, help="name of an imported dataset")
        parser.add_argument(
            "--tta", action="store_true", help="measure test-time augmentation as well: six times the work"
        )
        parser.add_argument("--here", action="store_true", help="measure in this process instead of a worker")
        parser.add_argument("--no-wait", action="store_true", help="do not watch the evaluation")
        parser.add_argument("--json", action="store_true", help="print everything as one JSON object at the end")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Queue it and, unless told otherwise, watch it and show what it measured."""
        version, dataset = find_version(options["version"]), find_dataset(options["dataset"])
        try:
            job = request_evaluation(
                owner=None,
                version=version,
                dataset=dataset,
                with_augmentation=options["tta"],
                announce=not options["here"],
            )
        except ServiceError as error:
            raise CommandError(str(error)) from error
        display = Display(self.stderr if options["json"] else self.stdout)
        if options["here"]:
            runner.execute_evaluation(job.pk, listener=display.show_event)
            job.refresh_from_db()
        elif not options["no_wait"]:
            follow(job, display=display)
        if options["json"]:
            self.stdout.write(json.dumps(_describe(job)))
        elif job.report:
            display.show_line(f"{version} on the {dataset.test_count:,} test images of {dataset.name}")
            for line in describe_evaluation(job.report):
                display.show_line(line)
        if not options["no_wait"]:
            require_success(job)


def _describe(job: Evaluation) -> dict[str, Any]:
    """Return what a program wants to know about an evaluation: the report's keys among it once there is one."""
    return {
        "evaluation": job.pk,
        "version": str(job.version),
        "status": job.status,
        "reason": job.reason,
        "detail": job.detail,
        **job.report,
    }

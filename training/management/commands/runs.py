"""`manage.py runs`: the training runs, newest first; `--cancel RUN` stops one."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.exceptions import ServiceError
from training.management.commands.train import describe_run
from training.models import TrainingRun
from training.services import cancel_run

SHOWN = 20


class Command(BaseCommand):
    """Lists the training runs, or stops one."""

    help = "List the newest training runs, or stop one."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--cancel", type=int, metavar="RUN", help="stop this run, after a last checkpoint")
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """List or stop."""
        if options["cancel"] is not None:
            self._cancel(options["cancel"])
            return
        runs = TrainingRun.objects.select_related("dataset")[:SHOWN]
        if options["json"]:
            self.stdout.write(json.dumps([describe_run(run) for run in runs]))
            return
        if not runs:
            self.stdout.write("No training run yet.")
        for run in runs:
            self.stdout.write(
                f"{run.pk:>6}  {run.status:<9}  {run.progress_percent:3d} %  {run.recipe} on {run.dataset}  "
                f"{run.requested_at:%Y-%m-%d %H:%M}  {run.detail}".rstrip()
            )

    def _cancel(self, pk: int) -> None:
        run = TrainingRun.objects.filter(pk=pk).first()
        if run is None:
            message = f"There is no run {pk}; `manage.py runs` lists them."
            raise CommandError(message)
        try:
            cancel_run(run=run, by=None)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{run} was asked to stop.")

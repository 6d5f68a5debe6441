"""`manage.py train --dataset NAME --recipe NAME --set key=value …`: queue a training run and watch it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import runner
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.exceptions import ServiceError
from training.management.following import Display, follow, require_success
from training.models import Dataset, ModelVersion, TrainingRun
from training.services import request_run


class Command(BaseCommand):
    """Queues a run, as the page does, and watches it to its end."""

    help = "Train a model on an imported dataset and register it as a candidate."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dataset", required=True, help="name of an imported dataset")
        parser.add_argument("--recipe", default="fast", help=f"one of {', '.join(RECIPES)}; default: fast")
        parser.add_argument(
            "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change options of the recipe"
        )
        parser.add_argument("--here", action="store_true", help="train in this process instead of a worker")
        parser.add_argument("--no-wait", action="store_true", help="do not watch the run")
        parser.add_argument("--json", action="store_true", help="print the run as one JSON object at the end")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Queue the run and, unless told otherwise, watch it."""
        dataset = Dataset.objects.filter(name=options["dataset"]).first()
        if dataset is None:
            raise CommandError(_describe_missing_dataset(options["dataset"]))
        overrides = dict(parse_setting(text) for text in options["set"])
        try:
            run = request_run(
                owner=None,
                dataset=dataset,
                recipe=options["recipe"],
                overrides=overrides,
                announce=not options["here"],
            )
        except (ConfigError, ServiceError) as error:
            raise CommandError(str(error)) from error
        display = Display(self.stderr if options["json"] else self.stdout, epochs=int(run.config["epochs"]))
        display.show_line(f"{run} is queued: {run.recipe} on {dataset.name}.")
        if options["here"]:
            runner.execute_run(run.pk, listener=display.show_event)
            run.refresh_from_db()
        elif not options["no_wait"]:
            follow(run, display=display)
        if options["json"]:
            self.stdout.write(json.dumps(describe_run(run)))
        elif run.is_terminal:
            self._show_result(run, display=display)
        if not options["no_wait"]:
            require_success(run)

    def _show_result(self, run: TrainingRun, *, display: Display) -> None:
        version = ModelVersion.objects.filter(run=run).first()
        if version is not None:
            display.show_line(
                f"Model version {version}: {version.test_accuracy:.2%} on the test split. "
                f"Make it answer with: manage.py promote {version}"
            )


def parse_setting(text: str) -> tuple[str, object]:
    """Read `key=value`, the value in the type of the option; what cannot be read is left for the check to refuse.

    Raises:
        CommandError: there is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--set {text} is not of the form KEY=VALUE."
        raise CommandError(message)
    kind = FIELDS[name].type if name in FIELDS else "str"
    try:
        match kind:
            case "int":
                return name, int(value)
            case "float":
                return name, float(value)
            case "bool":
                return name, {"true": True, "false": False}.get(value.lower(), value)
    except ValueError:
        pass
    return name, value


def describe_run(run: TrainingRun) -> dict[str, Any]:
    """Return what a program wants to know about a run."""
    version = ModelVersion.objects.filter(run=run).first()
    return {
        "run": run.pk,
        "status": run.status,
        "reason": run.reason,
        "detail": run.detail,
        "dataset": run.dataset.name,
        "recipe": run.recipe,
        "config": run.config,
        "environment": run.environment,
        "wall_seconds": run.wall_seconds,
        "metrics": run.metrics,
        "model_version": version and version.pk,
        "package_sha256": version and version.package_sha256,
        "test_accuracy": version and version.test_accuracy,
    }


def _describe_missing_dataset(name: str) -> str:
    known = ", ".join(Dataset.objects.values_list("name", flat=True))
    if not known:
        return f"There is no dataset named {name}, nor any other; make one with: manage.py import_dataset --demo"
    return f"There is no dataset named {name}. Imported are: {known}."

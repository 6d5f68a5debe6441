"""`manage.py train --dataset NAME --recipe NAME --set key=value …`: queue a training run and watch it.

`manage.py train --control-of RUN` queues the control of a transfer run instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import runner
from training.controls import find_counterpart, measure_difference
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.exceptions import ServiceError
from training.management.following import Display, follow, require_success
from training.models import Dataset, ModelVersion, TrainingRun
from training.services import request_control, request_run

DEFAULT_RECIPE: Final = "fast"


class Command(BaseCommand):
    """Queues a run, as the page does, and watches it to its end."""

    help = "Train a model on an imported dataset and register it as a candidate."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--dataset", help="name of an imported dataset")
        what.add_argument(
            "--control-of",
            type=int,
            metavar="RUN",
            help="number of a transfer run: train with its settings, without the first phase, on as many images",
        )
        parser.add_argument("--recipe", help=f"one of {', '.join(RECIPES)}; default: {DEFAULT_RECIPE}")
        parser.add_argument(
            "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change options of the recipe"
        )
        parser.add_argument("--here", action="store_true", help="train in this process instead of a worker")
        parser.add_argument("--no-wait", action="store_true", help="do not watch the run")
        parser.add_argument("--json", action="store_true", help="print the run as one JSON object at the end")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Queue the run and, unless told otherwise, watch it."""
        try:
            run = _request(options)
        except (ConfigError, ServiceError) as error:
            raise CommandError(str(error)) from error
        display = Display(self.stderr if options["json"] else self.stdout, epochs_by_phase=run.epochs_by_phase)
        control = f", the control of run {run.control_of_id}" if run.control_of_id else ""
        display.show_line(f"{run} is queued: {run.recipe} on {run.dataset.name}{control}.")
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
        difference = _describe_difference(run)
        if difference is not None:
            display.show_line(
                f"The first phase is worth {100 * difference['mean']:+.2f} points of test accuracy "
                f"(95 % interval {100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}, two independent "
                f"shares of {difference['test_count']:,} test images), compared with run {difference['compared_with']}."
            )


def _request(options: Mapping[str, Any]) -> TrainingRun:
    """Queue the run that the options describe.

    Raises:
        CommandError: the dataset or the run is unknown, or a control was to have settings of its own.
        ConfigError: an option is refused.
        ServiceError: the run is refused.
    """
    announce = not options["here"]
    if options["control_of"] is not None:
        for name in ("recipe", "set"):
            if options[name]:
                message = f"--{name} does not go with --control-of: a control has the settings of its run."
                raise CommandError(message)
        transfer = TrainingRun.objects.filter(pk=options["control_of"]).first()
        if transfer is None:
            message = f"There is no run {options['control_of']}."
            raise CommandError(message)
        return request_control(owner=None, run=transfer, announce=announce)
    dataset = Dataset.objects.filter(name=options["dataset"]).first()
    if dataset is None:
        raise CommandError(_describe_missing_dataset(options["dataset"]))
    overrides = dict(parse_setting(text) for text in options["set"])
    recipe = options["recipe"] or DEFAULT_RECIPE
    return request_run(owner=None, dataset=dataset, recipe=recipe, overrides=overrides, announce=announce)


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
        "control_of": run.control_of_id,
        "difference": _describe_difference(run),
        "environment": run.environment,
        "wall_seconds": run.wall_seconds,
        "metrics": run.metrics,
        "model_version": version and version.pk,
        "package_sha256": version and version.package_sha256,
        "test_accuracy": version and version.test_accuracy,
    }


def _describe_difference(run: TrainingRun) -> dict[str, Any] | None:
    """Return how a transfer run and its control compare; None when there are not both."""
    counterpart = find_counterpart(run)
    difference = None if counterpart is None else measure_difference(run, counterpart)
    if counterpart is None or difference is None:
        return None
    return {"compared_with": counterpart.pk, "mean": difference.mean, **asdict(difference)}


def _describe_missing_dataset(name: str) -> str:
    known = ", ".join(Dataset.objects.values_list("name", flat=True))
    if not known:
        return f"There is no dataset named {name}, nor any other; make one with: manage.py import_dataset --demo"
    return f"There is no dataset named {name}. Imported are: {known}."

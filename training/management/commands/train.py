"""`manage.py train --dataset NAME --recipe NAME --set key=value …`: queue a training run and watch it.

`manage.py train --control-of RUN` queues the control of a transfer run instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import runner
from training.choices import Priority
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.exceptions import ServiceError
from training.management.descriptions import describe_difference, describe_run
from training.management.following import Display, follow, require_start, require_success
from training.management.lookups import find_dataset, find_run, read_priority
from training.models import ModelVersion, TrainingRun
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
        parser.add_argument("--after", type=int, metavar="RUN", help="start once this run has succeeded")
        parser.add_argument("--priority", help="low, normal or high: which waiting runs are taken first")
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
            require_start(run)
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
        difference = describe_difference(run)
        if difference is not None:
            display.show_line(
                f"The first phase is worth {100 * difference['mean']:+.2f} points of test accuracy "
                f"(95 % interval {100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}, two independent "
                f"shares of {difference['test_count']:,} test images), compared with run {difference['compared_with']}."
            )


def _request(options: Mapping[str, Any]) -> TrainingRun:
    """Queue the run that the options describe.

    Raises:
        CommandError: the dataset, a run or the priority is unknown, or a control was to have settings of its own.
        ConfigError: an option is refused.
        ServiceError: the run is refused.
    """
    announce = not options["here"]
    if options["control_of"] is not None:
        for name in ("recipe", "set", "after", "priority"):
            if options[name]:
                message = f"--{name} does not go with --control-of: a control has the settings of its run."
                raise CommandError(message)
        return request_control(owner=None, run=find_run(options["control_of"]), announce=announce)
    dataset = find_dataset(options["dataset"])
    overrides = dict(parse_setting(text) for text in options["set"])
    recipe = options["recipe"] or DEFAULT_RECIPE
    return request_run(
        owner=None,
        dataset=dataset,
        recipe=recipe,
        overrides=overrides,
        priority=Priority.NORMAL if options["priority"] is None else read_priority(options["priority"]),
        after=None if options["after"] is None else find_run(options["after"]),
        announce=announce,
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

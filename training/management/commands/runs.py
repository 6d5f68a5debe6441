"""`manage.py runs`: the training runs, newest first, the history of one, several side by side, and what can be done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.engine.exceptions import ConfigError
from training.exceptions import ServiceError
from training.management import steering
from training.management.comparing import describe_comparison, write_comparison
from training.management.descriptions import describe_run, describe_runs, describe_transition
from training.management.lookups import find_run, read_priority
from training.models import TrainingRun, Transition
from training.services import ComparisonError, Waiting, compare_runs, describe_waiting

SHOWN = 20


class Command(BaseCommand):
    """Lists the training runs, or does something with one."""

    help = (
        "List the newest training runs; show the history of one; compare several; "
        "cancel, resume, clone, extend or reorder one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--cancel", type=int, metavar="RUN", help="stop this run, after a last checkpoint")
        what.add_argument("--resume", type=int, metavar="RUN", help="let a failed or cancelled run go on")
        what.add_argument("--clone", type=int, metavar="RUN", help="queue a run with the same settings")
        what.add_argument("--extend", type=int, metavar="RUN", help="queue a run that goes on where this one ended")
        what.add_argument(
            "--priority", nargs=2, metavar=("RUN", "LEVEL"), help="low, normal or high: when a waiting run is taken"
        )
        what.add_argument("--history", type=int, metavar="RUN", help="list its changes of state, the oldest first")
        what.add_argument("--compare", type=int, nargs="+", metavar="RUN", help="put two to six runs side by side")
        parser.add_argument("--epochs", type=int, metavar="N", help="with --extend: how many epochs more")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """List, show or act.

        Raises:
            CommandError: what was asked for is refused.
        """
        if (options["epochs"] is None) is not (options["extend"] is None):
            message = "--extend and --epochs go together."
            raise CommandError(message)
        if options["history"] is not None:
            self._show_history(find_run(options["history"]), as_json=options["json"])
            return
        if options["compare"] is not None:
            self._compare(options["compare"], as_json=options["json"])
            return
        try:
            changed = _act(options)
        except (ConfigError, ServiceError) as error:
            raise CommandError(str(error)) from error
        if changed is None:
            self._list(as_json=options["json"])
            return
        run, sentence = changed
        run.refresh_from_db()
        self.stdout.write(json.dumps(describe_run(run)) if options["json"] else sentence)

    def _list(self, *, as_json: bool) -> None:
        runs = list(TrainingRun.objects.select_related("dataset")[:SHOWN])
        if as_json:
            self.stdout.write(json.dumps(describe_runs(runs)))
            return
        if not runs:
            self.stdout.write("No training run yet.")
        waiting = describe_waiting(runs)
        for run in runs:
            self.stdout.write(
                f"{run.pk:>6}  {run.status:<9}  {run.progress_percent:3d} %  {run.recipe} on {run.dataset}  "
                f"{run.requested_at:%Y-%m-%d %H:%M}  {run.detail}{_say_turn(waiting.get(run.pk))}".rstrip()
            )

    def _compare(self, numbers: list[int], *, as_json: bool) -> None:
        try:
            comparison = compare_runs(numbers=numbers)
        except ComparisonError as error:
            raise CommandError(str(error)) from error
        described = json.dumps(describe_comparison(comparison)) if as_json else write_comparison(comparison)
        self.stdout.write(described)

    def _show_history(self, run: TrainingRun, *, as_json: bool) -> None:
        changes = [describe_transition(change) for change in Transition.objects.of(run)]
        if as_json:
            self.stdout.write(json.dumps(changes))
            return
        for change in changes:
            who = change["by"] or change["worker"] or "-"
            self.stdout.write(
                f"{change['at'][:19]}  {change['from'] or '-':>9} -> {change['to']:<9}  {change['cause']:<13}  "
                f"attempt {change['attempt']}  fence {change['fence']}  {who}  {change['reason']}  "
                f"{change['detail']}".rstrip()
            )


def _say_turn(waiting: Waiting | None) -> str:
    if waiting is None:
        return ""
    if waiting.after is not None:
        return f"after run {waiting.after}"
    return "held back" if waiting.position is None else f"number {waiting.position} in the queue"


def _act(options: Mapping[str, Any]) -> tuple[TrainingRun, str] | None:
    """Do what the options ask for; None when they ask for nothing.

    Raises:
        CommandError: there is no such run, or no such priority.
        ConfigError: as the services.
        ServiceError: as the services.
    """
    for name, act in (("cancel", steering.cancel), ("resume", steering.resume), ("clone", steering.clone)):
        if options[name] is not None:
            return act(find_run(options[name]))
    if options["extend"] is not None:
        return steering.extend(find_run(options["extend"]), epochs=options["epochs"])
    if options["priority"] is not None:
        number, level = options["priority"]
        if not number.isdecimal():
            message = f"{number} is no number of a run."
            raise CommandError(message)
        return steering.reorder(find_run(int(number)), priority=read_priority(level))
    return None

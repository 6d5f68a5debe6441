"""`manage.py queue`: the queues; `--pause NAME` and `--unpause NAME` hold one back and let it go on."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.choices import QueueName
from training.exceptions import ServiceError
from training.services import QueueState, list_queues, pause_queue, unpause_queue


class Command(BaseCommand):
    """Lists the queues, after pausing one or letting one go on if that was asked for."""

    help = "Show the queues; pause one, which then starts no job, or let it go on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--pause", choices=QueueName.values, help="start no job of this queue; what runs goes on")
        what.add_argument("--unpause", choices=QueueName.values, help="let this queue go on")
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Change and list.

        Raises:
            CommandError: the queue is in that state already.
        """
        try:
            if options["pause"] is not None:
                pause_queue(name=QueueName(options["pause"]), by=None)
            if options["unpause"] is not None:
                unpause_queue(name=QueueName(options["unpause"]), by=None)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        states = list_queues()
        if options["json"]:
            self.stdout.write(json.dumps([_describe(state) for state in states]))
            return
        for state in states:
            paused = f"paused since {state.paused_at:%Y-%m-%d %H:%M} UTC" if state.paused_at else "open"
            by = f" by {state.paused_by}" if state.paused_by else ""
            self.stdout.write(f"{state.name:<9}  {state.queued:>5} queued  {state.running:>3} running  {paused}{by}")


def _describe(state: QueueState) -> dict[str, Any]:
    return {
        "queue": state.name,
        "paused_at": state.paused_at and state.paused_at.isoformat(),
        "paused_by": state.paused_by,
        "queued": state.queued,
        "running": state.running,
    }

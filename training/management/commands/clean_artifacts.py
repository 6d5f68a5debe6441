"""`manage.py clean_artifacts`: remove old checkpoints, working folders nobody uses, and files that no row names."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from training.retention import clean, find_removable


class Command(BaseCommand):
    """Removes what nothing needs, in the store and on this machine, as beat has it done once a day."""

    help = "Remove checkpoints of runs that ended long ago, working folders nobody uses and files that no row names."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
        parser.add_argument(
            "--older-than",
            type=_days,
            metavar="DAYS",
            help="age of the checkpoints removed, since their run ended; CIFARSITE_CHECKPOINT_DAYS by default",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Remove, or tell what would be."""
        act = find_removable if options["dry_run"] else clean
        try:
            found = act(older_than_days=options["older_than"])
        except OSError as error:
            raise CommandError(f"The store of artifacts cannot be cleaned: {error.strerror}.") from error
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(item) for item in found]))
            return
        for item in found:
            self.stdout.write(f"{filesizeformat(item.size_bytes):>10}  {item.location}  {item.why}")
        total = filesizeformat(sum(item.size_bytes for item in found))
        self.stdout.write(f"{len(found)} {'could be' if options['dry_run'] else 'were'} removed: {total}")


def _days(text: str) -> int:
    if not text.isdecimal() or int(text) > 36_500:
        message = f"{text} is not a number of days"
        raise argparse.ArgumentTypeError(message)
    return int(text)

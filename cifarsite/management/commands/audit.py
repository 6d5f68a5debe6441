"""`manage.py audit`: every row against its files, hashes, history and lease; exit code 1 when something differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from classifier.audit import check_batches, check_predictions
from training.audit import CHECKS, Check, Finding, look
from training.audit.mirror import check_mirror

ALL_CHECKS: Final[tuple[Check, ...]] = (*CHECKS, check_predictions, check_batches, check_mirror)


class Command(BaseCommand):
    """Looks for mismatches, and repairs those whose repair is safe when told to."""

    help = "Compare every row with its files, hashes, history and lease. Exit code 1 when anything was found."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--repair",
            action="store_true",
            help="also do what is safe: take back jobs without worker, forget damaged checkpoints, remove old orphans",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Look, repair if that was asked for, and tell."""
        found = []
        for finding, repaired in _go_through(repair=options["repair"]):
            found.append(_describe(finding, repaired=repaired))
            if not options["json"]:
                self.stdout.write(f"{finding.subject}: {finding.sentence}{f' {repaired}' if repaired else ''}")
        if options["json"]:
            self.stdout.write(json.dumps(found))
        elif not found:
            self.stdout.write("Everything agrees.")
        elif not options["repair"] and any(entry["repairable"] for entry in found):
            count = sum(entry["repairable"] for entry in found)
            self.stdout.write(f"{len(found)} found; {count} can be repaired with --repair.")
        if found:
            sys.exit(1)


def _go_through(*, repair: bool) -> Iterator[tuple[Finding, str]]:
    """Give each finding with what was done about it, "" for nothing; all are found before the first is repaired."""
    for finding in list(look(ALL_CHECKS)):
        yield finding, finding.repair() if repair and finding.repair is not None else ""


def _describe(finding: Finding, *, repaired: str) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "subject": finding.subject,
        "sentence": finding.sentence,
        "repairable": finding.repair is not None,
        "repaired": repaired or None,
    }

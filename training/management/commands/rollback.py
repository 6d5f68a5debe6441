"""`manage.py rollback`: let the model answer again that answered before."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.exceptions import ServiceError
from training.management.descriptions import describe_promotion
from training.services import roll_back


class Command(BaseCommand):
    """Rolls back, as the page does."""

    help = "Let the model version answer again that answered before the champion. Repeated, it goes back further."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--reason", default="", help="why; kept in the record")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Go back."""
        try:
            promotion = roll_back(by=None, reason=options["reason"])
        except ServiceError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(describe_promotion(promotion)))
        else:
            self.stdout.write(f"{promotion.version} answers again instead of {promotion.previous}.")

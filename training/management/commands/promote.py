"""`manage.py promote VERSION`: choose the model that answers."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.exceptions import ClassesDifferError, ReasonNeededError, ServiceError
from training.management.descriptions import describe_promotion
from training.management.lookups import find_version
from training.services import promote_version


class Command(BaseCommand):
    """Promotes a version, as the page does."""

    help = "Make a model version the champion: the next picture is answered by it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("version", help="number (7 or v7), or the first characters of the package's hash")
        parser.add_argument("--accept-class-change", action="store_true", help="although it knows other classes")
        parser.add_argument("--reason", default="", help="why, where it is not known to be as accurate; kept")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """Promote the version."""
        version = find_version(options["version"])
        try:
            promotion = promote_version(
                version=version,
                by=None,
                accept_class_change=options["accept_class_change"],
                reason=options["reason"],
            )
        except ClassesDifferError as error:
            message = f"{error} Add --accept-class-change if that is wanted."
            raise CommandError(message) from error
        except ReasonNeededError as error:
            message = f"{error} Add --reason TEXT."
            raise CommandError(message) from error
        except ServiceError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(describe_promotion(promotion)))
            return
        before = f" instead of {promotion.previous}" if promotion.previous else ""
        self.stdout.write(f"{version} answers now{before}: {version.test_accuracy:.2%} on its test split.")

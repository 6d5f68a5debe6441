"""`manage.py models`: the model versions, newest first."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from training.management.descriptions import describe_version
from training.models import ModelVersion


class Command(BaseCommand):
    """Lists the model versions."""

    help = "List the model versions, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401  # Django's own signature
        """List them."""
        versions = [describe_version(version) for version in ModelVersion.objects.select_related("imported_by")]
        if options["json"]:
            self.stdout.write(json.dumps(versions))
            return
        if not versions:
            self.stdout.write("No model version yet.")
        for version in versions:
            self.stdout.write(
                f"{version['version']:>6}  {version['state']:<9}  {version['test_accuracy']:7.2%}  "
                f"{version['recipe']} on {version['dataset']}  {version['created_at'][:16]}  "
                f"{version['package_sha256'][:12]}"
            )

"""`manage.py up`: the whole site with one command."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from cifarsite.bootstrap import StartError
from cifarsite.launch import Address, run_site
from training.engine.parent_death import die_with_parent


class Command(BaseCommand):
    """Starts everything and stops it on Ctrl-C."""

    help = "Prepare the database, start every process of the site and stop them together (PORT and HOST say where)."
    requires_system_checks = []  # each trouble is told as one sentence instead

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--with-parent", action="store_true", help="stop when the program that started this one ends"
        )

    def handle(self, *, with_parent: bool, **_options: object) -> None:
        """Run until told to stop."""
        if with_parent:
            die_with_parent(signal.SIGTERM)
        try:
            run_site(Address.from_environment(), sys.stdout)
        except StartError as error:
            raise CommandError(str(error)) from error

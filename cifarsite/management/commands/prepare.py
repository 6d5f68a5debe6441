"""`manage.py prepare`: what a new version or a new database needs before its processes start."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from cifarsite.bootstrap import StartError, check_folders, ensure_champion, plan_administrator, prepare_database


class Command(BaseCommand):
    """Prepares folders, database, champion and administrator."""

    help = "Migrate the database, register the shipped champion and create the first administrator. Safe to repeat."
    requires_system_checks = []

    def handle(self, **_options: object) -> None:
        """Do what is missing and say what was done."""
        try:
            check_folders()
            self.stdout.write(f"Migrations applied: {prepare_database()}")
            champion = ensure_champion()
            administrator = plan_administrator()
        except StartError as error:
            raise CommandError(str(error)) from error
        if champion:
            self.stdout.write(f"Champion: {champion}")
        if administrator:
            administrator.save()
            self.stdout.write(f"Administrator: {administrator.user}")
            if administrator.password:
                self.stdout.write(f"Password: {administrator.password} (shown only now)")

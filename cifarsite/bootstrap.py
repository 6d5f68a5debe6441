"""What a folder and a database need before the site can run: safe to repeat, and each trouble is one sentence."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import Error as DatabaseFailure
from django.db import connection
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from cifarsite.accounts.groups import ADMINISTRATOR
from cifarsite.accounts.models import User
from cifarsite.checks import folder_trouble, shipped_packages
from training.engine.exceptions import EngineError
from training.models import ModelVersion
from training.registry import register_package
from training.services import install_champion
from training.store import check_access

_DEFAULT_USERNAME = "admin"
_PASSWORD_BYTES = 12  # 96 random bits, 16 characters


class StartError(Exception):
    """The site cannot start; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class NewAdministrator:
    """The first administrator, not yet stored.

    Attributes:
        user: The account.
        password: The generated password, to be shown once; None when the environment gave one.
    """

    user: User
    password: str | None

    def save(self) -> None:
        """Store the account."""
        self.user.save()
        self.user.groups.add(Group.objects.get(name=ADMINISTRATOR))


def check_folders() -> None:
    """Make sure that the local folders exist and can be written, and that a remote store can be reached.

    Raises:
        StartError: one of them cannot.
    """
    for name, folder in (("CIFARSITE_VAR", settings.VAR), ("ARTIFACTS_ROOT", settings.ARTIFACTS_ROOT)):
        trouble = folder_trouble(folder)
        if not trouble:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                trouble = str(error.strerror)
        if trouble:
            message = f"{name}={folder} cannot be used: {trouble}. Choose a folder that can be written."
            raise StartError(message)
    try:
        check_access()
    except OSError as error:
        message = f"ARTIFACTS_URL={settings.ARTIFACTS_URL} cannot be used: {error.strerror}."
        raise StartError(message) from error


def prepare_database() -> int:
    """Bring the database's tables up to date.

    Returns:
        How many migrations were applied.

    Raises:
        StartError: the database cannot be used, or belongs to a newer version of the site.
    """
    try:
        executor = MigrationExecutor(connection)
        _refuse_newer(executor)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        call_command("migrate", interactive=False, verbosity=0)
    except (DatabaseFailure, InconsistentMigrationHistory) as error:
        raise StartError(_database_trouble(error)) from error
    return len(plan)


def plan_administrator() -> NewAdministrator | None:
    """Make the first administrator ready to be stored when there is none yet.

    CIFARSITE_ADMIN_USERNAME and CIFARSITE_ADMIN_PASSWORD describe it; without a password one is generated. It is for
    the caller to store it and to show the password at the same moment: a start that fails in between loses nothing.

    Raises:
        StartError: the name cannot be used.
    """
    if User.objects.filter(is_superuser=True).exists():
        return None
    username = os.environ.get("CIFARSITE_ADMIN_USERNAME") or _DEFAULT_USERNAME
    given = os.environ.get("CIFARSITE_ADMIN_PASSWORD")
    generated = None if given else secrets.token_urlsafe(_PASSWORD_BYTES)
    user = User(username=username, is_staff=True, is_superuser=True)
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        message = f"CIFARSITE_ADMIN_USERNAME={username!r} cannot be used: {error.messages[0]}"
        raise StartError(message) from error
    user.set_password(given or generated)
    return NewAdministrator(user=user, password=generated)


def ensure_champion() -> ModelVersion | None:
    """Register and promote the model package that ships with the project when no champion exists.

    Returns:
        The new champion, or None when there was one, or none is shipped.

    Raises:
        StartError: the shipped package is damaged or cannot be stored.
    """
    if ModelVersion.objects.champion():
        return None
    for package in shipped_packages():
        try:
            version = register_package(package)
            promotion = install_champion(version=version)
        except (EngineError, OSError) as error:
            message = f"The shipped champion cannot be used: {error}"
            raise StartError(message) from error
        return version if promotion else None
    return None


def _refuse_newer(executor: MigrationExecutor) -> None:
    """Refuse a database with migrations that this version does not know.

    Raises:
        StartError: there is one.
    """
    loader = executor.loader
    known = set(loader.disk_migrations)
    known.update(name for migration in loader.disk_migrations.values() for name in migration.replaces)
    unknown = sorted(
        name for name in loader.applied_migrations if name[0] in loader.migrated_apps and name not in known
    )
    if unknown:
        message = (
            f"{_database_name()} was written by a newer version of the site (migration {'.'.join(unknown[0])}): "
            "update the code, or restore an older backup."
        )
        raise StartError(message)


def _database_trouble(error: Exception) -> str:
    detail = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    advice = "Move it away to start afresh, or restore a backup." if settings.EMBEDDED else "Check DATABASE_URL."
    return f"{_database_name()} cannot be used: {detail}. {advice}"


def _database_name() -> str:
    return f"The database {settings.DATABASES['default']['NAME']}" if settings.EMBEDDED else "The database"

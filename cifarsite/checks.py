"""System checks: `manage.py check` names what is wrong with the configuration before a person finds out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning


def folder_trouble(folder: Path) -> str | None:
    """Say in a few words why files cannot be written under `folder`, or return None. Creates nothing."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is a file"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written by this user"
    return None


def shipped_packages() -> list[Path]:
    """Return the model packages in the project's champion folder; one is expected."""
    folder = Path(settings.CHAMPION_PACKAGES)
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


@register()
def check_folders(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """The folders for data and artifacts can be written."""
    folders = {"CIFARSITE_VAR": settings.VAR, "ARTIFACTS_ROOT": settings.ARTIFACTS_ROOT}
    return [
        Error(f"{name}={folder} cannot be used: {trouble}.", hint="Choose a folder that can be written.", id=identifier)
        for (name, folder), identifier in zip(folders.items(), ("cifarsite.E001", "cifarsite.E002"), strict=True)
        if (trouble := folder_trouble(Path(folder)))
    ]


@register()
def check_hosts(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Production names the hosts it answers for."""
    if settings.EMBEDDED or settings.ALLOWED_HOSTS:
        return []
    return [
        Error(
            "ALLOWED_HOSTS is empty: every request would be refused.",
            hint="List the site's host names, separated by commas.",
            id="cifarsite.E003",
        )
    ]


@register()
def check_champion(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """The model that answers on the first day is there."""
    found = len(shipped_packages())
    if found == 1:
        return []
    return [
        CheckWarning(
            f"{settings.CHAMPION_PACKAGES} holds {found} model packages instead of one.",
            hint="Check the project out completely: a new site has no model to answer with otherwise.",
            id="cifarsite.W001",
        )
    ]

"""Every kind of job that the site knows, those of other applications included, and the uploads that jobs keep."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from training.choices import TERMINAL_STATUSES
from training.jobs import Job


def job_models() -> list[type[Job]]:
    """Return every kind of job, sorted by name. An application brings its own by having them among its models."""
    return sorted((model for model in apps.get_models() if issubclass(model, Job)), key=lambda model: model.kind())


def named_uploads() -> set[str]:
    """Return the uploads that jobs name, in whatever state."""
    return {location for model, field in _keepers() for location in model.objects.values_list(field, flat=True)}


def is_named_upload(location: str) -> bool:
    """Whether a job names an upload."""
    return any(model.objects.filter(**{field: location}).exists() for model, field in _keepers())


def forget_upload(location: str) -> None:
    """Have jobs that have ended name an upload no longer."""
    for model, field in _keepers():
        model.objects.filter(**{field: location}, status__in=TERMINAL_STATUSES).update(**{field: ""})


def uploads_in_use() -> list[str]:
    """Return the uploads without which a job could not be carried out any more."""
    return [location for model in job_models() for location in model.uploads_in_use()]


def _keepers() -> list[tuple[Any, str]]:
    return [(model, model.upload_field) for model in job_models() if model.upload_field]

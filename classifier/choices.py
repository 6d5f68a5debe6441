"""The closed vocabularies of the classifier application."""

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _

EXECUTE_BATCH: Final = "classifier.execute_batch"
"""Celery's name of the task that carries out batch jobs."""


class Source(models.TextChoices):
    """By which way a picture came."""

    PAGE = "page", _("Page")
    API = "api", _("API")
    COMMAND = "command", _("Command line")

"""The closed vocabularies of the classifier application."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Source(models.TextChoices):
    """By which way a picture came."""

    PAGE = "page", _("Page")
    API = "api", _("API")
    COMMAND = "command", _("Command line")

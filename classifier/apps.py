"""Application configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClassifierConfig(AppConfig):
    """Predictions and their history."""

    name = "classifier"
    verbose_name = _("Classification")

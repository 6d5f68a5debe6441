"""Application configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    """Datasets, runs and model versions."""

    name = "training"
    verbose_name = _("Training")

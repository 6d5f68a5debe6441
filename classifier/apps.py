"""Application configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from pathlib import Path

    from training.models import ModelVersion


class ClassifierConfig(AppConfig):
    """Predictions and their history."""

    name = "classifier"
    verbose_name = _("Classification")

    def ready(self) -> None:
        """Let no version answer, and no package in, that does not answer its golden samples here."""
        from training.services.gate import register_replay  # noqa: PLC0415  # models are not loaded before

        register_replay(_replay, apart=_replay_apart)


def _replay(version: ModelVersion) -> None:
    from classifier.replay import replay_version  # noqa: PLC0415  # numpy, which most processes do without

    replay_version(version)


def _replay_apart(package: Path) -> None:
    from classifier.replay import replay_apart  # noqa: PLC0415  # the same

    replay_apart(package)

"""Queries on model versions and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

from training.choices import ModelState

if TYPE_CHECKING:
    from training.models import ModelVersion


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    """Queries on model versions."""

    def champion(self) -> ModelVersion | None:
        """Return the version that answers pictures, if one was promoted."""
        return self.filter(state=ModelState.CHAMPION).first()

    def served(self) -> Self:
        """Versions that answer pictures or once did."""
        return self.exclude(state=ModelState.CANDIDATE)

    def with_run(self) -> Self:
        """Fetch each version's run in the same query."""
        return self.select_related("run")

"""Queries on predictions; every one starts from an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.models import Prediction


class PredictionQuerySet(models.QuerySet["Prediction"]):
    """Queries on predictions."""

    def owned_by(self, user: User) -> Self:
        """Predictions of one person: nobody sees another's."""
        return self.filter(owner=user)

    def for_list(self) -> Self:
        """What a list shows, in one query, without the thumbnails' bytes."""
        return self.select_related("model_version").defer("thumbnail", "model_version__manifest")

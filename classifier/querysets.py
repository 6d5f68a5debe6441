"""Queries on predictions and batches; every one that shows something starts from an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

from training.job_queries import JobQuerySet

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.models import BatchItem, Prediction


class PredictionQuerySet(models.QuerySet["Prediction"]):
    """Queries on predictions."""

    def owned_by(self, user: User) -> Self:
        """Predictions of one person: nobody sees another's."""
        return self.filter(owner=user)

    def for_list(self) -> Self:
        """What a list shows, in one query, without the thumbnails' bytes."""
        return self.select_related("model_version").defer("thumbnail", "model_version__manifest")


class BatchJobQuerySet(JobQuerySet):
    """Queries on batch jobs."""

    def owned_by(self, user: User) -> Self:
        """Batches of one person: nobody sees another's."""
        return self.filter(owner=user)

    def with_version(self) -> Self:
        """Fetch each batch's model version in the same query, without what nobody looks at."""
        return self.select_related("model_version").defer("log_tail")


class BatchItemQuerySet(models.QuerySet["BatchItem"]):
    """Queries on the answers of batches."""

    def of_interest(self, *, only_errors: bool = False, class_key: str = "") -> Self:
        """Keep the errors, or the answers of one class; everything where neither is wanted."""
        if only_errors:
            return self.filter(class_key="")
        return self.filter(class_key=class_key) if class_key else self

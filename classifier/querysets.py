"""Queries on predictions and batches; every one that shows something starts from an owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import F, Q

from training.job_queries import JobQuerySet

if TYPE_CHECKING:
    from cifarsite.accounts.models import User
    from classifier.models import BatchItem, Original, Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of a person's predictions are meant; what is not given does not matter.

    Attributes:
        class_key: The class that was answered.
        version: Key of the model version that answered.
        created_from: The earliest moment.
        created_to: The moment before which it was asked.
        confidence_min: Least confidence, in [0, 1].
        confidence_max: Largest confidence, in [0, 1].
        source: By which way the picture came; a `Source`.
        label_key: What the person says the picture shows.
        labelled: Whether the person said anything.
        right: Whether the person said that the answer is right; then those without a word of theirs are not meant.
        out_of_distribution: Whether the picture may show none of the classes.
        search: Part of the file's name, in either case.
        up_to: The largest key: what came later is not meant.
    """

    class_key: str = ""
    version: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    confidence_min: float | None = None
    confidence_max: float | None = None
    source: str = ""
    label_key: str = ""
    labelled: bool | None = None
    right: bool | None = None
    out_of_distribution: bool | None = None
    search: str = ""
    up_to: int | None = None

    def conditions(self) -> dict[str, Any]:
        """Return the look-ups that stand for it, but for `labelled` and `right`."""
        lookups = {
            "class_key": self.class_key or None,
            "model_version": self.version,
            "created_at__gte": self.created_from,
            "created_at__lt": self.created_to,
            "confidence__gte": self.confidence_min,
            "confidence__lte": self.confidence_max,
            "source": self.source or None,
            "label_key": self.label_key or None,
            "out_of_distribution": self.out_of_distribution,
            "file_name__icontains": self.search or None,
            "pk__lte": self.up_to,
        }
        return {name: value for name, value in lookups.items() if value is not None}


class PredictionQuerySet(models.QuerySet["Prediction"]):
    """Queries on predictions."""

    def owned_by(self, user: User) -> Self:
        """Predictions of one person: nobody sees another's."""
        return self.filter(owner=user)

    def matching(self, wanted: Wanted) -> Self:
        """Those that are wanted. Ask for keys alone: the database answers that from one index."""
        found = self.filter(**wanted.conditions())
        if wanted.right is not None:
            is_right = Q(label_key=F("class_key"))
            found = found.filter(is_right) if wanted.right else found.exclude(is_right).exclude(label_key="")
        if wanted.labelled is None:
            return found
        return found.exclude(label_key="") if wanted.labelled else found.filter(label_key="")

    def for_list(self) -> Self:
        """What a list shows, in one query, without the bytes of pictures."""
        related = self.select_related("model_version", "original", "share")
        return related.defer("thumbnail", "pixels", "model_version__manifest", "original__data")

    def for_page(self) -> Self:
        """What a page about one shows, in one query: of the pictures, the pixels that the model saw."""
        return self.select_related("model_version", "original", "share").defer("thumbnail", "original__data")


class OriginalQuerySet(models.QuerySet["Original"]):
    """Queries on files that were kept."""

    def owned_by(self, user: User) -> Self:
        """Files of one person: nobody sees another's."""
        return self.filter(prediction__owner=user)


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

    def of_interest(
        self,
        *,
        only_errors: bool = False,
        class_key: str = "",
        confidence_max: float | None = None,
        right: bool | None = None,
    ) -> Self:
        """Keep what is wanted of them; everything without a wish.

        Args:
            only_errors: What could not be read; nothing else matters then.
            class_key: The class that was answered.
            confidence_max: Answers that are no surer than this, in [0, 1].
            right: Answers that are, or are not, what the archive says.
        """
        if only_errors:
            return self.filter(class_key="")
        found = self.filter(class_key=class_key) if class_key else self
        if confidence_max is not None:
            found = found.filter(confidence__lte=confidence_max)
        if right is None:
            return found
        labelled = found.exclude(expected_key="").exclude(class_key="")
        is_right = Q(expected_key=F("class_key"))
        return labelled.filter(is_right) if right else labelled.exclude(is_right)

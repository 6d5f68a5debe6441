"""Queries on model versions and their evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import F

from training.choices import ModelState
from training.job_queries import JobQuerySet

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


class EvaluationQuerySet(JobQuerySet):
    """Queries on evaluations."""

    def with_files(self) -> Self:
        """Evaluations whose files are kept; at most one of a version on a dataset."""
        return self.exclude(location="")

    def to_list(self) -> Self:
        """Fetch what a line tells of each: its dataset's name, its accuracy as `measured`, its owner; no report."""
        return (
            self.select_related("dataset", "owner")
            .annotate(measured=F("report__metrics__accuracy"))
            .defer("report", "log_tail", "dataset__manifest", "dataset__checks")
        )

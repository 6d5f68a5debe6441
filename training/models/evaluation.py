"""Evaluations: jobs that measure a model version on the test images of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from training.choices import JobStatus, QueueName
from training.doorbell import EXECUTE_EVALUATION
from training.jobs import Job
from training.models.dataset import Dataset
from training.models.model_version import ModelVersion
from training.querysets import EvaluationQuerySet
from training.store import fetch


class Evaluation(Job):
    """The job that measures one version on one dataset with its classes. See `Job` for its states.

    Its figures are in `report`, as the engine's `evaluate` tells them. What the version answered to each image, and
    where it sees them, is in the files at `location`; the newest evaluation of a version on a dataset has them.
    """

    queue = QueueName.INFERENCE
    task = EXECUTE_EVALUATION

    version = models.ForeignKey(
        ModelVersion, verbose_name=_("model version"), on_delete=models.CASCADE, related_name="evaluations"
    )
    dataset = models.ForeignKey(
        Dataset, verbose_name=_("dataset"), on_delete=models.CASCADE, related_name="evaluations"
    )
    with_augmentation = models.BooleanField(_("test-time augmentation is measured as well"), default=False)
    report = models.JSONField(_("report"), default=dict, blank=True)
    location = models.CharField(_("folder"), max_length=255, blank=True, default="")  # "": a newer one has the files

    objects: ClassVar[EvaluationQuerySet] = EvaluationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Job.Meta):
        verbose_name = _("evaluation")
        verbose_name_plural = _("evaluations")
        ordering = ["-pk"]
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(
                fields=["version", "dataset"],
                condition=Q(status__in=[JobStatus.QUEUED, JobStatus.RUNNING]),
                name="one_evaluation_at_a_time",
                violation_error_message=_("This version is being evaluated on this dataset already."),
            ),
        ]

    def __str__(self) -> str:
        return _("Evaluation %(number)s of v%(version)s") % {"number": self.pk, "version": self.version_id}

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, a fraction; None before it is known."""
        accuracy: float | None = self.report.get("metrics", {}).get("accuracy")
        return accuracy

    @property
    def path(self) -> Path:
        """Local directory of the files, fetched first where the store is remote and they are not here yet.

        Raises:
            OSError: they cannot be fetched.
        """
        return fetch(self.location)

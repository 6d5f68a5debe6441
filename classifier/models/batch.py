"""Batch jobs: an archive of pictures, answered one after the other by one model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import ExpressionWrapper, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from classifier.choices import EXECUTE_BATCH, Source
from classifier.querysets import BatchItemQuerySet, BatchJobQuerySet
from training.choices import TERMINAL_STATUSES, JobStatus, QueueName
from training.jobs import Job
from training.models import ModelVersion


class BatchJob(Job):
    """The job that answers every picture of one archive. See `Job` for its states.

    `progress_done` counts the entries that have their `BatchItem`: both are written in one transaction, so that whoever
    takes the job over goes on with entry number `progress_done`. The first claim chooses the model, and every later
    one uses the same, whatever was promoted meanwhile.
    """

    queue = QueueName.INFERENCE
    task = EXECUTE_BATCH
    upload_field = "archive"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="batches"
    )
    source = models.CharField(_("source"), max_length=16, choices=Source.choices)
    name = models.CharField(_("file name"), max_length=255, blank=True, default="")  # "": several pictures were sent
    archive = models.CharField(_("archive"), max_length=255, blank=True, default="")  # "": removed since
    archive_bytes = models.PositiveBigIntegerField(_("bytes of the archive"))
    model_version = models.ForeignKey(
        ModelVersion,
        verbose_name=_("model version"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="batches",
    )
    model_sha256 = models.CharField(_("model hash"), max_length=64, blank=True, default="")
    error_count = models.PositiveIntegerField(_("pictures that could not be read"), default=0)
    labelled_count = models.PositiveIntegerField(_("pictures with a label"), default=0)
    items_per_second = models.FloatField(_("pictures per second"), null=True, blank=True)
    metrics = models.JSONField(_("measured on the labelled pictures"), default=dict, blank=True)

    objects: ClassVar[BatchJobQuerySet] = BatchJobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Job.Meta):
        verbose_name = _("batch job")
        verbose_name_plural = _("batch jobs")
        ordering = ["-pk"]
        indexes = [*Job.Meta.indexes, models.Index(fields=["owner", "-id"], name="batch_owner_newest")]

    def __str__(self) -> str:
        return _("Batch %(number)s") % {"number": self.pk}  # not the archive's name: the staff sees this one

    @property
    def class_keys(self) -> list[str]:
        """Names of the model's classes in its order; none before a model was chosen."""
        return [] if self.model_version is None else self.model_version.class_keys

    @property
    def seconds_left(self) -> float | None:
        """What is left at the present pace; None while nothing is known."""
        if self.status != JobStatus.RUNNING or not self.items_per_second or not self.progress_total:
            return None
        return max(0, self.progress_total - self.progress_done) / self.items_per_second

    @classmethod
    def uploads_in_use(cls) -> Iterable[str]:
        """Return the archives of batches that may go on."""
        kept = cls.objects.exclude(archive="").exclude(status=JobStatus.SUCCEEDED)
        return kept.order_by("pk").values_list("archive", flat=True)

    @classmethod
    def dispensable_uploads(cls) -> Iterable[str]:
        """Return the archives of batches that ended CIFARSITE_BATCH_ARCHIVE_DAYS ago or earlier."""
        age = Value(timedelta(days=settings.BATCH_ARCHIVE_DAYS))
        long_ago = ExpressionWrapper(Now() - age, output_field=models.DateTimeField())
        ended = cls.objects.filter(status__in=TERMINAL_STATUSES, finished_at__lte=long_ago)
        return ended.exclude(archive="").values_list("archive", flat=True)


class BatchItem(models.Model):
    """What became of one entry: an answer, or why there is none. Written once."""

    batch = models.ForeignKey(
        BatchJob,
        verbose_name=_("batch job"),
        on_delete=models.CASCADE,
        related_name="items",
        db_index=False,  # the constraint below starts with it
    )
    index = models.PositiveIntegerField(_("place in the archive"))
    name = models.CharField(_("name"), max_length=512)
    error_code = models.CharField(_("error"), max_length=32, blank=True, default="")
    error_detail = models.CharField(_("why there is no answer"), max_length=255, blank=True, default="")  # English
    class_id = models.PositiveSmallIntegerField(_("class number"), null=True, blank=True)
    class_key = models.CharField(_("class"), max_length=63, blank=True, default="")  # "": no answer
    confidence = models.FloatField(_("confidence"), null=True, blank=True)
    probabilities = models.JSONField(_("probabilities"), null=True, blank=True)  # list, in the order of the classes
    out_of_distribution = models.BooleanField(_("may be none of the classes"), default=False)
    expected_key = models.CharField(_("label"), max_length=63, blank=True, default="")  # "": none that is known

    objects: ClassVar[BatchItemQuerySet] = BatchItemQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("answer of a batch job")
        verbose_name_plural = _("answers of batch jobs")
        ordering = ["batch", "index"]
        indexes = [models.Index(fields=["batch", "class_key", "index"], name="batch_item_class")]
        constraints = [
            models.UniqueConstraint(fields=["batch", "index"], name="batch_item_once"),
            models.CheckConstraint(
                condition=Q(error_code="", class_id__isnull=False) | (~Q(error_code="") & Q(class_key="")),
                name="batch_item_answer_or_error",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"  # not what it shows: the admin panel lists what goes when an account is deleted

"""Datasets, and the jobs that import them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from training.choices import ImportSource
from training.doorbell import EXECUTE_IMPORT
from training.engine.data_checks import count_exact_copies
from training.jobs import Job
from training.store import fetch

validate_name = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,62}\Z",
    _("Use 1 to 63 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit."),
)


class Dataset(models.Model):
    """An imported dataset: a directory of memory-mapped arrays that never changes, its manifest, and its faults.

    Test images that are exact copies of training images stop every run, until `copies_accepted_at` is set, once.
    """

    name = models.CharField(_("name"), max_length=63, unique=True, validators=[validate_name])
    sha256 = models.CharField(_("manifest hash"), max_length=64)
    location = models.CharField(_("folder under the artifacts root"), max_length=255)
    manifest = models.JSONField(_("manifest"))
    checks = models.JSONField(_("report of the checks"), default=dict, blank=True)  # empty: never checked
    copies_accepted_at = models.DateTimeField(_("copies accepted"), null=True, blank=True)
    copies_accepted_by = models.ForeignKey(  # empty as well when the command line accepted them
        settings.AUTH_USER_MODEL,
        verbose_name=_("copies accepted by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    synthetic = models.BooleanField(_("synthetic"), default=False)
    train_count = models.PositiveIntegerField(_("training images"))
    test_count = models.PositiveIntegerField(_("test images"))
    created_at = models.DateTimeField(_("imported"), auto_now_add=True)

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        ordering = ["name"]
        permissions = [("accept_dataset_copies", _("Can accept test images that are copies of training images"))]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Local directory of the arrays, fetched first where the store is remote and they are not here yet.

        Raises:
            OSError: they cannot be fetched.
        """
        return fetch(self.location)

    @property
    def exact_copies(self) -> int:
        """How many test images are exact copies of training images, as far as is known."""
        return count_exact_copies(self.checks) if self.checks else 0

    @property
    def has_copies(self) -> bool:
        """Whether test images are known to be copies of training images, its own or those of a dataset compared."""
        comparisons = self.checks.get("comparisons", [])
        return any(found["exact"] for found in comparisons if found["first"] == "test" != found["second"])

    @property
    def has_refused_copies(self) -> bool:
        """Whether copies across the splits stop its runs."""
        return self.copies_accepted_at is None and self.exact_copies > 0

    @property
    def class_keys(self) -> list[str]:
        """Names of the classes, in label order."""
        return list(self.manifest["class_keys"])


class DatasetImport(Job):
    """The job that makes a `Dataset`: an import, a download or a drawing. See `Job` for its states."""

    task = EXECUTE_IMPORT
    upload_field = "source_path"

    name = models.CharField(_("dataset name"), max_length=63, validators=[validate_name])
    source = models.CharField(_("source"), max_length=16, choices=ImportSource.choices)
    source_path = models.CharField(_("archive or folder"), max_length=1024, blank=True, default="")
    owns_source = models.BooleanField(_("the source is an upload, removed afterwards"), default=False)
    skip_unreadable = models.BooleanField(_("leave out unreadable images"), default=False)
    notes = models.CharField(_("notes"), max_length=500, blank=True, default="")
    dataset = models.OneToOneField(
        Dataset, verbose_name=_("dataset"), on_delete=models.SET_NULL, null=True, blank=True, related_name="imported_by"
    )

    class Meta(Job.Meta):
        verbose_name = _("dataset import")
        verbose_name_plural = _("dataset imports")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_source_display()})"

    @classmethod
    def uploads_in_use(cls) -> Iterable[str]:
        """Return the uploads of imports that have not ended."""
        own: QuerySet[DatasetImport] = cls.objects.active().filter(owns_source=True).exclude(source_path="")
        return own.order_by("pk").values_list("source_path", flat=True)

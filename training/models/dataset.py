"""Datasets, and the jobs that import them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from training.choices import ImportSource
from training.jobs import Job

validate_name = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,62}\Z",
    _("Use 1 to 63 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit."),
)


class Dataset(models.Model):
    """An imported dataset: a directory of memory-mapped arrays that never changes, and its manifest."""

    name = models.CharField(_("name"), max_length=63, unique=True, validators=[validate_name])
    sha256 = models.CharField(_("manifest hash"), max_length=64)
    location = models.CharField(_("folder under the artifacts root"), max_length=255)
    manifest = models.JSONField(_("manifest"))
    synthetic = models.BooleanField(_("synthetic"), default=False)
    train_count = models.PositiveIntegerField(_("training images"))
    test_count = models.PositiveIntegerField(_("test images"))
    created_at = models.DateTimeField(_("imported"), auto_now_add=True)

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Directory of the arrays."""
        return Path(settings.ARTIFACTS_ROOT) / self.location

    @property
    def class_keys(self) -> list[str]:
        """Names of the classes, in label order."""
        return list(self.manifest["class_keys"])


class DatasetImport(Job):
    """The job that makes a `Dataset`: an import, a download or a drawing. See `Job` for its states."""

    name = models.CharField(_("dataset name"), max_length=63, validators=[validate_name])
    source = models.CharField(_("source"), max_length=16, choices=ImportSource.choices)
    source_path = models.CharField(_("archive or folder"), max_length=1024, blank=True, default="")
    owns_source = models.BooleanField(_("the source is an upload, removed afterwards"), default=False)
    skip_unreadable = models.BooleanField(_("leave out unreadable images"), default=False)
    notes = models.CharField(_("notes"), max_length=500, blank=True, default="")
    dataset = models.OneToOneField(
        Dataset, verbose_name=_("dataset"), on_delete=models.SET_NULL, null=True, blank=True, related_name="imported_by"
    )

    class Meta:
        verbose_name = _("dataset import")
        verbose_name_plural = _("dataset imports")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_source_display()})"

"""The file of an answered picture as it came, where its owner wants it kept."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.models.prediction import Prediction
from classifier.querysets import OriginalQuerySet


class LightManager(models.Manager["Original"]):
    """Leaves the files where they are.

    Backups and the admin panel's page that deletes an account go through all rows; several megabytes of each would not
    fit into memory together. A file is then read when somebody asks for it, one at a time.
    """

    def get_queryset(self) -> models.QuerySet[Original]:
        """Return the rows without their files."""
        return super().get_queryset().defer("data")


class Original(models.Model):
    """An uploaded file, byte for byte. Written with its prediction in one transaction; deleted with it, or before it.

    It has a table of its own, so that whoever reads predictions never meets it.
    """

    prediction = models.OneToOneField(Prediction, on_delete=models.CASCADE, primary_key=True, related_name="original")
    data = models.BinaryField(_("file"))
    sha256 = models.CharField(_("hash"), max_length=64)
    media_type = models.CharField(_("media type"), max_length=32)  # by content, whatever the upload called itself

    objects = OriginalQuerySet.as_manager()
    light = LightManager()

    class Meta:
        verbose_name = _("original file")
        verbose_name_plural = _("original files")
        base_manager_name = "light"

    def __str__(self) -> str:
        return f"#{self.pk}"  # as its prediction: not what it is called

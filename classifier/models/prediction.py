"""One answered picture."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.choices import Source
from classifier.querysets import PredictionQuerySet
from training.models import ModelVersion


class Prediction(models.Model):
    """A picture that somebody asked about, and the answer. Written once, with its thumbnail, in one row.

    The thumbnail lives in the row, so that a crash can leave neither a row without a picture nor a file without a row.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="predictions",
        db_index=False,  # both indexes below start with it
    )
    created_at = models.DateTimeField(_("asked"), auto_now_add=True)
    source = models.CharField(_("source"), max_length=16, choices=Source.choices)
    file_name = models.CharField(_("file name"), max_length=255, blank=True, default="")
    width = models.PositiveIntegerField(_("width in pixels"))
    height = models.PositiveIntegerField(_("height in pixels"))
    thumbnail = models.BinaryField(_("thumbnail"))  # JPEG, long side ≤ 128 px, metadata stripped
    pixels = models.BinaryField(_("what the model saw"), null=True)  # (32, 32, 3) uint8; null in rows older than this
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="predictions")
    model_sha256 = models.CharField(_("model hash"), max_length=64)
    class_id = models.PositiveSmallIntegerField(_("class number"))
    class_key = models.CharField(_("class"), max_length=63)
    confidence = models.FloatField(_("confidence"))  # the probability of `class_key`, in [0, 1]
    probabilities = models.JSONField(_("probabilities"))  # list, in the order of the model's classes
    out_of_distribution = models.BooleanField(_("may be none of the classes"), default=False)
    latency_ms = models.FloatField(_("milliseconds"))
    label_key = models.CharField(_("the person's label"), max_length=63, blank=True, default="")

    objects = PredictionQuerySet.as_manager()

    class Meta:
        verbose_name = _("prediction")
        verbose_name_plural = _("predictions")
        ordering = ["-pk"]
        indexes = [
            # Whatever the filters, one walk along a person's entries answers them without reading a row.
            models.Index(
                fields=[
                    "owner",
                    "-id",
                    "class_key",
                    "model_version",
                    "created_at",
                    "confidence",
                    "source",
                    "label_key",
                    "out_of_distribution",
                    "file_name",
                ],
                name="prediction_owner_filters",
            ),
            # Without it, filtering by a class that somebody rarely met reads all their rows.
            models.Index(fields=["owner", "class_key", "-id"], name="prediction_owner_class"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"  # not what it shows: the admin panel lists what goes when an account is deleted

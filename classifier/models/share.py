"""A link by which somebody shows one answered picture to others."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from classifier.models.prediction import Prediction


class Share(models.Model):
    """A link to one prediction, for whoever has it. Its owner makes it and takes it back; it goes with its prediction.

    There is a row as long as the link works. A link that was taken back never works again: the next one is another.
    """

    prediction = models.OneToOneField(Prediction, on_delete=models.CASCADE, primary_key=True, related_name="share")
    token = models.CharField(_("token"), max_length=43, unique=True)  # 256 random bits, in URL-safe base64
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    class Meta:
        verbose_name = _("shared link")
        verbose_name_plural = _("shared links")

    def __str__(self) -> str:
        return f"#{self.pk}"  # as its prediction: the token opens it

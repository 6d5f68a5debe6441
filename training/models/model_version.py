"""Model versions and the record of who made which one the champion."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from training.choices import ModelState, PromotionKind
from training.models.run import TrainingRun
from training.querysets import ModelVersionQuerySet
from training.store import fetch


class ModelVersion(models.Model):
    """A verified model package that may answer pictures.

    States: CANDIDATE → CHAMPION ⇄ ARCHIVED; a database constraint allows one champion.
    """

    package_sha256 = models.CharField(_("package hash"), max_length=64, unique=True)
    location = models.CharField(_("folder"), max_length=255)
    manifest = models.JSONField(_("manifest"))
    state = models.CharField(_("state"), max_length=16, choices=ModelState.choices, default=ModelState.CANDIDATE)
    run = models.OneToOneField(
        TrainingRun, verbose_name=_("run"), on_delete=models.PROTECT, null=True, blank=True, related_name="version"
    )
    test_accuracy = models.FloatField(_("test accuracy"))
    imported_by = models.ForeignKey(  # empty as well for one that was trained here, or imported by the command line
        settings.AUTH_USER_MODEL,
        verbose_name=_("imported by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state=ModelState.CHAMPION), name="one_champion")
        ]
        permissions = [
            ("promote_modelversion", _("Can choose the model that answers")),
            ("import_modelversion", _("Can import model packages")),
            ("export_modelversion", _("Can download model packages")),
        ]

    def __str__(self) -> str:
        return f"v{self.pk}"

    @property
    def path(self) -> Path:
        """Local directory of the package, fetched first where the store is remote and it is not here yet.

        Raises:
            OSError: it cannot be fetched.
        """
        return fetch(self.location)

    @property
    def class_keys(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return list(self.manifest["class_keys"])


class Promotion(models.Model):
    """One change of champion: who, when, how, why, from which version to which."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    previous = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField(_("at"), auto_now_add=True)
    kind = models.CharField(_("how"), max_length=16, choices=PromotionKind.choices, default=PromotionKind.PROMOTE)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    is_mirrored = models.BooleanField(_("known to MLflow"), default=False)  # its alias followed this or a later one

    class Meta:
        verbose_name = _("promotion")
        verbose_name_plural = _("promotions")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.previous or '—'} → {self.version}"

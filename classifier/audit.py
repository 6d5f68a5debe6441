"""Predictions against the versions that made them, for `manage.py audit`."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, F
from django.utils.translation import gettext as _

from classifier.models import Prediction
from training.audit.findings import Finding


def check_predictions() -> Iterator[Finding]:
    """The hash that a prediction names is that of its version. One query, however many there are."""
    strange = Prediction.objects.exclude(model_sha256=F("model_version__package_sha256")).order_by()
    for row in strange.values("model_version", "model_sha256").annotate(count=Count("pk")).order_by("model_version"):
        sentence = _("%(count)d of its predictions name another model, %(sha256)s….") % {
            "count": row["count"],
            "sha256": row["model_sha256"][:12],
        }
        yield Finding(kind="foreign_predictions", subject=f"v{row['model_version']}", sentence=sentence)

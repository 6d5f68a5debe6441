"""Predictions and batches against the versions that made them and their own counts, for `manage.py audit`."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, F
from django.utils.translation import gettext as _

from classifier.models import BatchJob, Prediction
from training.audit.findings import Finding
from training.choices import JobStatus
from training.store import is_stored


def check_predictions() -> Iterator[Finding]:
    """The hash that a prediction names is that of its version. One query, however many there are."""
    strange = Prediction.objects.exclude(model_sha256=F("model_version__package_sha256")).order_by()
    for row in strange.values("model_version", "model_sha256").annotate(count=Count("pk")).order_by("model_version"):
        sentence = _("%(count)d of its predictions name another model, %(sha256)s….") % {
            "count": row["count"],
            "sha256": row["model_sha256"][:12],
        }
        yield Finding(kind="foreign_predictions", subject=f"v{row['model_version']}", sentence=sentence)


def check_batches() -> Iterator[Finding]:
    """A batch has as many answers as it says, those that may go on have their archive, and its model is its version."""
    for job in BatchJob.objects.annotate(rows=Count("items")).exclude(rows=F("progress_done")):
        sentence = _("It says that %(done)d entries are done, and has %(rows)d answers.") % {
            "done": job.progress_done,
            "rows": job.rows,
        }
        yield Finding(kind="wrong_count", subject=str(job), sentence=sentence)
    for job in BatchJob.objects.exclude(status=JobStatus.SUCCEEDED).exclude(archive=""):
        if not is_stored(job.archive):
            sentence = _("Its archive is not there, so it cannot go on.")
            yield Finding(kind="missing_archive", subject=str(job), sentence=sentence)
    for job in BatchJob.objects.exclude(model_version=None).exclude(model_sha256=F("model_version__package_sha256")):
        sentence = _("It names another model than its version, %(sha256)s….") % {"sha256": job.model_sha256[:12]}
        yield Finding(kind="foreign_batch", subject=str(job), sentence=sentence)

"""Predictions and batches in the admin panel: how many, by which model; never whose, never a picture."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from classifier.choices import Source
from classifier.models import BatchJob, Prediction
from training.admin.base import ReadOnlyAdmin
from training.class_names import display_name


@admin.register(Prediction)
class PredictionAdmin(admin.ModelAdmin[Prediction]):
    """Counts only: predictions are private to their owner, so there is no list of rows and no page for one."""

    def get_urls(self) -> list[URLPattern]:
        """Offer the page of counts and nothing else."""
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name="classifier_prediction_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the counts."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": self.opts.verbose_name_plural,
            "opts": self.opts,
            "totals": Prediction.objects.aggregate(
                pictures=Count("pk"),
                people=Count("owner", distinct=True),
                doubtful=Count("pk", filter=Q(out_of_distribution=True)),
                judged=Count("pk", filter=~Q(label_key="")),
                right=Count("pk", filter=Q(label_key=F("class_key"))),
            ),
            "by_class": [(display_name(key), count) for key, count in _counts("class_key")],
            "by_model": [(f"v{pk}", count) for pk, count in _counts("model_version")],
            "by_source": [(Source(source).label, count) for source, count in _counts("source")],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/classifier/prediction/counts.html", context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a prediction is made by a model."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Prediction | None = None) -> bool:
        """Refuse: an answer is never rewritten."""
        return False


def _counts(field: str) -> list[tuple[Any, int]]:
    """Count predictions by a field, the most frequent value first."""
    return list(Prediction.objects.order_by().values_list(field).annotate(n=Count("pk")).order_by("-n", field))


@admin.register(BatchJob)
class BatchJobAdmin(ReadOnlyAdmin[BatchJob]):
    """Batches by number: how far they are, never whose, never a picture's name or an answer."""

    list_display = ["__str__", "status", "reason", "progress_done", "progress_total", "error_count", "requested_at"]
    list_display_links = None
    list_filter = ["status", "reason"]
    date_hierarchy = "requested_at"

    def has_view_permission(self, request: HttpRequest, obj: BatchJob | None = None) -> bool:
        """Show the list and no page for one."""
        return obj is None and super().has_view_permission(request, obj)

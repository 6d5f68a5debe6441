"""Predictions and batches in the admin panel: how many, by which model; never whose, never a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy, ngettext

from classifier.archives import ArchiveRejected
from classifier.batches.services import cancel_batch, request_batch
from classifier.choices import Source
from classifier.models import BatchJob, Prediction
from training.admin.base import ReadOnlyAdmin, asker
from training.class_names import display_name
from training.exceptions import ServiceError


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
            **_count_predictions(),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/classifier/prediction/counts.html", context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a prediction is made by a model."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Prediction | None = None) -> bool:
        """Refuse: an answer is never rewritten."""
        return False


def _count_predictions() -> dict[str, Any]:
    """Count all predictions in one walk over them, and their owners in another; the most frequent values come first."""
    groups: Sequence[Mapping[str, Any]] = list(
        Prediction.objects.order_by()
        .values("class_key", "model_version", "source")
        .annotate(
            pictures=Count("pk"),
            doubtful=Count("pk", filter=Q(out_of_distribution=True)),
            judged=Count("pk", filter=~Q(label_key="")),
            right=Count("pk", filter=Q(label_key=F("class_key"))),
        )
    )
    totals = {name: sum(group[name] for group in groups) for name in ("pictures", "doubtful", "judged", "right")}
    return {
        "totals": {**totals, "people": Prediction.objects.aggregate(people=Count("owner", distinct=True))["people"]},
        "by_class": [(display_name(key), count) for key, count in _sum_by("class_key", groups)],
        "by_model": [(f"v{pk}", count) for pk, count in _sum_by("model_version", groups)],
        "by_source": [(Source(source).label, count) for source, count in _sum_by("source", groups)],
    }


def _sum_by(field: str, groups: Sequence[Mapping[str, Any]]) -> list[tuple[Any, int]]:
    sums: Counter[Any] = Counter()
    for group in groups:
        sums[group[field]] += group["pictures"]
    return sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))


class BatchAddForm(forms.ModelForm[BatchJob]):
    """The archive of a new batch."""

    archive_file = forms.FileField(
        label=gettext_lazy("Archive"), help_text=gettext_lazy("A ZIP or TAR archive with pictures.")
    )

    class Meta:
        model = BatchJob
        fields: ClassVar[list[str]] = []


@admin.register(BatchJob)
class BatchJobAdmin(ReadOnlyAdmin[BatchJob]):
    """Batches by number: how far they are, never whose, never a picture's name or an answer.

    Whoever adds one here owns it, and finds its answers on its page.
    """

    list_display = ["__str__", "status", "reason", "progress_done", "progress_total", "error_count", "requested_at"]
    list_display_links = None
    list_filter = ["status", "reason"]
    search_fields = ["=pk"]
    date_hierarchy = "requested_at"
    actions = ["cancel_selected"]
    form = BatchAddForm

    @admin.action(description=gettext_lazy("Cancel selected"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[BatchJob]) -> None:
        """Cancel the chosen batches, and say of each that had ended already."""
        cancelled = 0
        for job in queryset:
            try:
                cancel_batch(job=job, by=asker(request))
            except ServiceError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                cancelled += 1
        if cancelled:
            sentence = ngettext("%(count)d job is being cancelled.", "%(count)d jobs are being cancelled.", cancelled)
            self.message_user(request, sentence % {"count": cancelled}, messages.SUCCESS)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form again with the reason when the service refuses the archive."""
        try:
            return super().add_view(request, form_url, extra_context)
        except (ArchiveRejected, ServiceError) as refusal:
            self.message_user(request, str(getattr(refusal, "detail", refusal)), messages.ERROR)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: BatchJob, form: Any, change: Any) -> None:  # noqa: ANN401
        """Let the service make the row."""
        upload = form.cleaned_data["archive_file"]
        obj.pk = request_batch(owner=asker(request), upload=upload, name=upload.name, source=Source.PAGE).pk
        obj.refresh_from_db()

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Operators stop everybody's jobs."""
        return request.user.has_perm("training.manage_trainingrun")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let those add one who may."""
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_view_permission(self, request: HttpRequest, obj: BatchJob | None = None) -> bool:
        """Show the list and no page for one."""
        return obj is None and super().has_view_permission(request, obj)

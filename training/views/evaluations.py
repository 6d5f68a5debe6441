"""Pages of evaluations: asking for one, watching it, and what it measured."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.generic import View

from training.choices import JobStatus
from training.exceptions import ServiceError
from training.models import Dataset, Evaluation, ModelVersion
from training.services import cancel_evaluation, request_evaluation
from training.views.access import PageAccessMixin
from training.views.evaluation import build_evaluation
from training.views.image_map import draw_map
from training.views.job_pages import JobLivePage, JobPage
from training.views.notices import warn_when_unheard
from training.views.queries import evaluations_for_page
from training.views.reports import build_report


class EvaluationCreateView(PageAccessMixin, View):
    """Ask for the evaluation of a version."""

    permission_required = "training.add_evaluation"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Queue it and show it, or go back to the version with the reason why not."""
        version = get_object_or_404(ModelVersion, pk=pk)
        dataset = Dataset.objects.filter(name=request.POST.get("dataset", "")).first()
        if dataset is None:
            messages.error(request, _("Choose a dataset."))
            return redirect("version", pk=pk)
        try:
            job = request_evaluation(
                owner=self.viewer,
                version=version,
                dataset=dataset,
                with_augmentation=request.POST.get("with_augmentation") == "on",
            )
        except ServiceError as error:
            messages.error(request, str(error))
            return redirect("version", pk=pk)
        warn_when_unheard(request, job)
        return redirect("evaluation", pk=job.pk)


class _EvaluationParts:
    """What the page and its live part share."""

    permission_required = "training.view_evaluation"
    part, live_view = "evaluation", "evaluation_live"
    queryset: QuerySet[Evaluation] | None = evaluations_for_page()


class EvaluationView(_EvaluationParts, JobPage[Evaluation]):
    """One evaluation: its progress, and what it measured or the reason why not."""

    template_name = "training/evaluation.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the figures and the map."""
        job = self.object
        if not job.report:
            return super().get_context_data(**kwargs)
        with_files = job if job.location else None
        return super().get_context_data(
            report=build_report(job.report["metrics"]),
            evaluation=build_evaluation(job.report),
            answered_by=with_files,
            dots=draw_map(with_files, class_keys=job.version.class_keys),
            **kwargs,
        )


class EvaluationLiveView(_EvaluationParts, JobLivePage[Evaluation]):
    """The part of it that changes."""

    template_name = "training/_evaluation_live.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401  # Django's own
        """Show it; a page whose evaluation has succeeded meanwhile is loaded anew, for it has figures now."""
        response = super().get(request, *args, **kwargs)
        if self.object.status == JobStatus.SUCCEEDED:
            response["HX-Refresh"] = "true"
        return response


class EvaluationCancelView(PageAccessMixin, View):
    """Ask for an evaluation's end."""

    permission_required = "training.view_evaluation"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Cancel the evaluation and show it again."""
        job = get_object_or_404(Evaluation, pk=pk)
        try:
            cancel_evaluation(evaluation=job, by=self.viewer)
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("%(evaluation)s is being cancelled.") % {"evaluation": job})
        return redirect("evaluation", pk=pk)

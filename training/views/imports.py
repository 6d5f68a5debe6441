"""Pages of dataset imports: the form, and the page on which the job is watched."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.generic import DetailView, FormView, View

from training.choices import ImportSource, JobStatus
from training.engine_texts import translate_progress
from training.exceptions import NameTakenError, ServiceError
from training.forms import ImportForm
from training.models import DatasetImport
from training.pace import elapsed_seconds, seconds_left
from training.services import cancel_import, find_pause, may_steer, request_import
from training.views.access import PageAccessMixin
from training.views.notices import warn_when_unheard
from training.views.progress import is_waiting_in_vain, poll_seconds, state_key
from training.views.queries import history_of


class ImportCreateView(PageAccessMixin, FormView[ImportForm]):
    """The form of a new import; `?source=demo` picks the source."""

    permission_required = "training.add_datasetimport"
    template_name = "training/import_new.html"
    form_class = ImportForm

    def get_initial(self) -> dict[str, Any]:
        """Take the source from the address."""
        return {"source": ImportSource.ARCHIVE, **self.request.GET.dict()}

    def form_valid(self, form: ImportForm) -> HttpResponse:
        """Ask for the import; what the service refuses is shown in the form."""
        chosen = form.cleaned_data
        try:
            job = request_import(
                owner=self.viewer,
                name=chosen["name"],
                source=ImportSource(chosen["source"]),
                upload=chosen["upload"],
                skip_unreadable=chosen["skip_unreadable"],
                notes=chosen["notes"],
            )
        except NameTakenError as error:
            form.add_error("name", str(error))
        except ServiceError as error:
            form.add_error(None, str(error))
        else:
            warn_when_unheard(self.request, job)
            return redirect("import_detail", pk=job.pk)
        return self.form_invalid(form)


class _ImportPage(PageAccessMixin, DetailView[DatasetImport]):
    """What the page and its live part share."""

    permission_required = "training.view_datasetimport"
    context_object_name = "job"

    def get_queryset(self) -> QuerySet[DatasetImport]:
        """Return imports with all that is shown of them."""
        return DatasetImport.objects.select_related("owner", "dataset").defer("dataset__manifest", "dataset__checks")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add everything that changes while the job is at work."""
        job = self.object
        return super().get_context_data(
            poll=poll_seconds(job),
            state_key=state_key(job),
            progress_text=translate_progress(job.progress_message),
            elapsed=elapsed_seconds(job),
            left=seconds_left(job),
            history=history_of(job),
            no_worker=is_waiting_in_vain(job),
            pause=find_pause(job.queue) if job.status == JobStatus.QUEUED else None,
            may_cancel=not job.is_terminal and not job.cancel_requested and may_steer(job, self.viewer),
            **kwargs,
        )


class ImportView(_ImportPage):
    """One import: its progress, and the dataset it made or the reason why not."""

    template_name = "training/import.html"


@method_decorator(never_cache, name="dispatch")
class ImportLiveView(_ImportPage):
    """The part of an import's page that is fetched again and again until the job has ended."""

    template_name = "training/_import_live.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add whether the parts outside the panel have to change."""
        context = super().get_context_data(**kwargs)
        context["is_update"] = True
        context["state_changed"] = self.request.GET.get("state") != context["state_key"]
        context["history_changed"] = self.request.GET.get("history") != str(context["history"].newest)
        return context


class ImportCancelView(PageAccessMixin, View):
    """Ask for an import's end."""

    permission_required = "training.view_datasetimport"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Cancel the import and show it again."""
        job = get_object_or_404(DatasetImport, pk=pk)
        try:
            cancel_import(job=job, by=self.viewer)
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("The import of %(name)s is being cancelled.") % {"name": job.name})
        return redirect("import_detail", pk=pk)

"""Pages of dataset imports: the form, and the page on which the job is watched."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.generic import FormView, View

from training.choices import ImportSource
from training.exceptions import NameTakenError, ServiceError
from training.forms import ImportForm
from training.models import DatasetImport
from training.services import cancel_import, request_import
from training.views.access import PageAccessMixin
from training.views.job_pages import JobLivePage, JobPage
from training.views.notices import warn_when_unheard
from training.views.queries import imports_for_page


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


class _ImportParts:
    """What the page and its live part share."""

    permission_required = "training.view_datasetimport"
    part, live_view = "import", "import_live"
    queryset: QuerySet[DatasetImport] | None = imports_for_page()


class ImportView(_ImportParts, JobPage[DatasetImport]):
    """One import: its progress, and the dataset it made or the reason why not."""

    template_name = "training/import.html"


class ImportLiveView(_ImportParts, JobLivePage[DatasetImport]):
    """The part of it that changes."""

    template_name = "training/_import_live.html"


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

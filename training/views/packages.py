"""The page on which a model package from elsewhere is taken in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import FormView

from training.api.bounded import bound_upload
from training.exceptions import ServiceError
from training.forms import PackageForm
from training.services import import_upload
from training.views.access import PageAccessMixin


class PackageImportView(PageAccessMixin, FormView[PackageForm]):
    """The form of an import; what is refused is said in it."""

    permission_required = "training.import_modelversion"
    template_name = "training/version_import.html"
    form_class = PackageForm

    @method_decorator(csrf_exempt)  # checked by `_dispatch_checked`, after the upload was bounded: the check reads it
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
        """Bound the upload before anything reads it."""
        try:
            bound_upload(request, max_bytes=settings.PACKAGE_MAX_BYTES)
            return self._dispatch_checked(request, *args, **kwargs)
        except RequestDataTooBig:
            limit = filesizeformat(settings.PACKAGE_MAX_BYTES)
            messages.error(
                request, _("The package is larger than %(limit)s, the most that is taken.") % {"limit": limit}
            )
            return redirect("package_import")

    @method_decorator(csrf_protect)
    def _dispatch_checked(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: PackageForm) -> HttpResponse:
        """Take the package in, and show its version."""
        try:
            taken = import_upload(upload=form.cleaned_data["file"], by=self.viewer)
        except ServiceError as error:
            form.add_error("file", str(error))
            return self.render_to_response(self.get_context_data(form=form), status=error.status)
        if taken.is_new:
            messages.success(self.request, _("The package is model %(version)s now.") % {"version": taken.version})
        else:
            messages.info(self.request, _("The package is model %(version)s already.") % {"version": taken.version})
        return redirect("version", pk=taken.version.pk)

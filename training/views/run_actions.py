"""What a person does with a run that is there: cancel, resume, clone, extend, reorder, compare with a control."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.generic import View

from training.choices import Priority
from training.engine.exceptions import ConfigError
from training.engine_texts import explain_refusal
from training.exceptions import ServiceError
from training.forms import ExtensionForm, PriorityForm
from training.models import TrainingRun
from training.services import cancel_run, clone_run, extend_run, request_control, resume_run, set_priority
from training.views.access import PageAccessMixin
from training.views.notices import warn_when_unheard
from training.views.queries import runs_for_page


class _RunActionView(PageAccessMixin, View):
    """A POST that asks a service for something and shows what came of it, or why nothing did."""

    permission_required = "training.view_trainingrun"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Act, and show the run again or the new one."""
        run = get_object_or_404(runs_for_page(), pk=pk)
        try:
            shown = self.act(run)
        except ConfigError as error:
            messages.error(request, explain_refusal(error))
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            warn_when_unheard(request, shown)
            return redirect("run", pk=shown.pk)
        return redirect("run", pk=pk)

    def act(self, run: TrainingRun) -> TrainingRun:
        """Ask the service; return the run to show."""
        raise NotImplementedError


class RunCancelView(_RunActionView):
    """Ask for a run's end."""

    def act(self, run: TrainingRun) -> TrainingRun:
        """Cancel the run."""
        cancel_run(run=run, by=self.viewer)
        messages.success(self.request, _("Run %(number)s is being cancelled.") % {"number": run.pk})
        return run


class RunResumeView(_RunActionView):
    """Let a run that failed or was cancelled go on."""

    def act(self, run: TrainingRun) -> TrainingRun:
        """Queue the run again."""
        resume_run(run=run, by=self.viewer)
        messages.success(self.request, _("%(run)s goes on from where it stopped.") % {"run": run})
        return run


class RunCloneView(_RunActionView):
    """Repeat a run as it was."""

    permission_required = "training.add_trainingrun"

    def act(self, run: TrainingRun) -> TrainingRun:
        """Queue a run with the same settings."""
        clone = clone_run(run=run, owner=self.viewer)
        messages.success(self.request, _("%(clone)s has the settings of %(run)s.") % {"clone": clone, "run": run})
        return clone


class RunExtendView(_RunActionView):
    """Let a run that succeeded go on for more epochs, as a run of its own."""

    permission_required = "training.add_trainingrun"

    def act(self, run: TrainingRun) -> TrainingRun:
        """Queue the longer run.

        Raises:
            ServiceError: the number of epochs is none.
        """
        form = ExtensionForm(self.request.POST)
        if not form.is_valid():
            raise ServiceError(_say_errors(form, "epochs"))
        extension = extend_run(run=run, epochs=form.cleaned_data["epochs"], owner=self.viewer)
        messages.success(self.request, _("%(new)s goes on where %(run)s ended.") % {"new": extension, "run": run})
        return extension


class RunPriorityView(_RunActionView):
    """Let a run that waits be taken earlier or later."""

    def act(self, run: TrainingRun) -> TrainingRun:
        """Change the priority.

        Raises:
            ServiceError: there is no such priority.
        """
        form = PriorityForm(self.request.POST)
        if not form.is_valid():
            raise ServiceError(_say_errors(form, "priority"))
        priority = Priority(form.cleaned_data["priority"])
        if priority != run.priority:  # whoever gave it
            set_priority(job=run, priority=priority, by=self.viewer)
        told = {"run": run, "priority": priority.label.lower()}
        messages.success(self.request, _("The priority of %(run)s is now %(priority)s.") % told)
        return run


class RunControlView(_RunActionView):
    """Ask for the control of a transfer run."""

    permission_required = "training.add_trainingrun"

    def act(self, run: TrainingRun) -> TrainingRun:
        """Queue the control."""
        return request_control(owner=self.viewer, run=run)


def _say_errors(form: forms.Form, field: str) -> str:
    return " ".join(str(error) for error in form.errors[field])

"""Pages of training runs: the form of a new one, and the page on which a run is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import DetailView, FormView

from training.choices import JobStatus, QueueName
from training.controls import find_counterpart, measure_difference
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.engine_texts import show_value, translate, translate_progress
from training.exceptions import ServiceError
from training.forms import NOTHING, ExtensionForm, PriorityForm, RunForm
from training.models import Dataset, EpochMetric, TrainingRun
from training.pace import elapsed_seconds, seconds_left
from training.services import describe_waiting, find_pause, may_steer, request_run
from training.storage import mlflow_address
from training.views.access import PageAccessMixin
from training.views.charts import charts_of_one_run
from training.views.notices import warn_when_unheard
from training.views.progress import poll_seconds, state_key
from training.views.queries import history_of, runs_for_page, runs_that_go_on
from training.views.reports import build_report

if TYPE_CHECKING:
    from cifarsite.accounts.models import User


class RunCreateView(PageAccessMixin, FormView[RunForm]):
    """The form of a new run; the address's parameters fill it in, so that a run can be repeated with a link."""

    permission_required = "training.add_trainingrun"
    template_name = "training/run_new.html"
    form_class = RunForm

    def get_initial(self) -> dict[str, Any]:
        """Take the initial values from the address."""
        return self.request.GET.dict()

    def get_form_kwargs(self) -> dict[str, Any]:
        """Tell the form who fills it in."""
        return {**super().get_form_kwargs(), "may_overtake": self.viewer.has_perm("training.manage_trainingrun")}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the chosen recipe, whether there is anything to train on, and whether the queue is paused."""
        context = super().get_context_data(**kwargs)
        recipe = context["form"].chosen_recipe
        context["recipe"] = recipe
        context["recipe_summary"] = translate(recipe.summary)
        context["has_data"] = Dataset.objects.exists()
        context["pause"] = find_pause(QueueName.TRAINING)
        return context

    def form_valid(self, form: RunForm) -> HttpResponse:
        """Ask for the run; what the service refuses is shown at the field it names."""
        chosen = form.cleaned_data
        try:
            run = request_run(
                owner=self.viewer,
                dataset=chosen["dataset"],
                recipe=chosen["recipe"],
                overrides=form.overrides(),
                priority=chosen["priority"],
                after=chosen["after"],
            )
        except ConfigError as error:
            form.refuse(error)
        except ServiceError as error:
            form.add_error(None, str(error))
        else:
            warn_when_unheard(self.request, run)
            return redirect("run", pk=run.pk)
        return self.form_invalid(form)


class _RunPage(PageAccessMixin, DetailView[TrainingRun]):
    """What the page and its live part share."""

    permission_required = "training.view_trainingrun"
    context_object_name = "run"

    def get_queryset(self) -> QuerySet[TrainingRun]:
        """Return runs with all that is shown of them."""
        return runs_for_page()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add everything that changes while the run is at work."""
        run = self.object
        epochs = list(run.epochs.all())
        last_epoch = epochs[-1] if epochs else None
        phase = last_epoch.phase if last_epoch else min(run.epochs_by_phase)
        counterpart = find_counterpart(run) if run.is_terminal else run.control_of
        return super().get_context_data(
            epochs=epochs,
            last_epoch=last_epoch,
            phase=phase,
            phase_epochs=run.epochs_by_phase[phase],
            best_epoch=_find_best_epoch(epochs, phase=phase) if run.status == JobStatus.SUCCEEDED else None,
            counterpart=counterpart,
            difference=measure_difference(run, counterpart) if counterpart else None,
            may_control=run.is_transfer and run.status == JobStatus.SUCCEEDED and counterpart is None,
            poll=poll_seconds(run),
            state_key=state_key(run),
            progress_text=translate_progress(run.progress_message),
            elapsed=elapsed_seconds(run),
            left=seconds_left(run, last_epoch=last_epoch),
            waiting=describe_waiting([run]).get(run.pk),
            history=history_of(run),
            report=build_report(run.metrics) if run.is_terminal else None,
            mlflow_url=_mlflow_url(run),
            **_offered_actions(run, viewer=self.viewer, epochs=len(epochs)),
            **kwargs,
        )


class RunView(_RunPage):
    """One run: state, curves, log, settings, and in the end its result."""

    template_name = "training/run.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the settings, the address that repeats them, and what came of the run."""
        context = super().get_context_data(**kwargs)
        run, table = self.object, _settings_table(self.object)
        changed = {row["name"]: row["typed"] for row in table if row["is_changed"]}
        context["settings_table"] = table
        context["charts"] = charts_of_one_run()
        if context["may_clone"]:  # the dialog is there before the run has succeeded
            context["extension"] = ExtensionForm(initial={"epochs": run.config["epochs"]})
        context["followers"], context["extensions"] = runs_that_go_on(run)
        context["repeat_query"] = urlencode({"dataset": run.dataset_id, "recipe": run.recipe, **changed})
        return context


@method_decorator(never_cache, name="dispatch")
class RunLiveView(_RunPage):
    """The part of a run's page that is fetched again and again; it stops asking once the run has ended.

    The page says what it shows already (`?state=…&epochs=…&history=…`); what lies outside the panel is sent only when
    it differs.
    """

    template_name = "training/_run_live.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add which parts outside the panel have to change."""
        context = super().get_context_data(**kwargs)
        context["is_update"] = True
        context["state_changed"] = self.request.GET.get("state") != context["state_key"]
        context["epochs_changed"] = self.request.GET.get("epochs") != str(len(context["epochs"]))
        context["history_changed"] = self.request.GET.get("history") != str(context["history"].newest)
        return context


def _offered_actions(run: TrainingRun, *, viewer: User, epochs: int) -> dict[str, Any]:
    """Return what `viewer` may do with a run in its state; it has `epochs` epochs so far."""
    steers, trains = may_steer(run, viewer), viewer.has_perm("training.add_trainingrun")
    has_all_epochs = epochs >= sum(run.epochs_by_phase.values())
    may_extend = run.status == JobStatus.SUCCEEDED and bool(run.checkpoint) and has_all_epochs and trains
    may_reorder = run.status == JobStatus.QUEUED and not run.cancel_requested and steers
    may_overtake = viewer.has_perm("training.manage_trainingrun")
    return {
        "may_cancel": not run.is_terminal and not run.cancel_requested and steers,
        "may_resume": run.status in {JobStatus.FAILED, JobStatus.CANCELLED} and steers,
        "may_clone": trains,
        "may_extend": may_extend,
        "priority": PriorityForm.of(run.priority, may_overtake=may_overtake) if may_reorder else None,
    }


def _find_best_epoch(epochs: list[EpochMetric], *, phase: int) -> int | None:
    """Return the first epoch of a phase with the best validation accuracy; None where nothing was set aside for it."""
    accuracies = {row.epoch: row.validation_accuracy for row in epochs if row.phase == phase}
    validated = {epoch: accuracy for epoch, accuracy in accuracies.items() if accuracy is not None}
    return max(validated, key=validated.__getitem__) if validated else None


def _mlflow_url(run: TrainingRun) -> str:
    """Return where a person sees the run in MLflow, empty when there is no such place."""
    address = mlflow_address() if run.mlflow_run_id else ""
    return f"{address}/#/runs/{run.mlflow_run_id}" if address else ""


def _settings_table(run: TrainingRun) -> list[dict[str, Any]]:
    """Arrange the run's configuration, with the recipe's own values beside those that were changed."""
    recipe = RECIPES.get(run.recipe)
    table = []
    for name, spec in FIELDS.items():
        if name not in run.config or name in {"dataset", "recipe"}:
            continue
        value = run.config[name]
        default = recipe.defaults.get(name) if recipe else None
        row = {"name": name, "label": translate(spec.label), "unit": translate(spec.unit), "typed": _as_typed(value)}
        changed = recipe is not None and value != default
        table.append({**row, "value": show_value(value), "default": show_value(default), "is_changed": changed})
    return table


def _as_typed(value: object) -> str:
    """Return a setting as the form's input takes it."""
    return str(value).lower() if isinstance(value, bool) else show_value(value) or NOTHING

"""The list of training runs, and the end of several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.vary import vary_on_headers
from django.views.generic import ListView

from training.choices import JobStatus, QueueName
from training.filter_forms import RunFilterForm
from training.models import TrainingRun
from training.services import (
    FEWEST_COMPARED,
    MOST_CANCELLED,
    MOST_COMPARED,
    WantedRuns,
    cancel_runs,
    describe_waiting,
    find_pause,
    find_runs,
    may_steer,
    sort_runs,
)
from training.views.access import PageAccessMixin
from training.views.progress import poll_seconds
from training.views.queries import runs_for_list
from training.views.several import SeveralView, list_parameters, tell_outcome

_COLUMNS: Final = ("run", "status", "dataset", "recipe", "accuracy", "owner")


@method_decorator(vary_on_headers("HX-Request"), name="dispatch")  # or going back could show the list alone
class RunListView(PageAccessMixin, ListView[TrainingRun]):
    """The runs that the address's filters leave, in its order; without any all of them, the newest first.

    The list that refreshes itself asks for itself alone, without the filters, which would read what they offer.
    """

    permission_required = "training.view_trainingrun"
    template_name = "training/runs.html"
    context_object_name = "runs"
    paginate_by = 20

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401  # Django's own
        """Show them; with status 400 where a filter is refused, which then leaves nothing out."""
        self.form = RunFilterForm(request.GET)
        is_valid = self.form.is_valid()
        response = super().get(request, *args, **kwargs)
        response.status_code = 200 if is_valid else 400
        return response

    def get_template_names(self) -> list[str]:
        """Return the page's template, or that of the list."""
        is_refresh = self.request.headers.get("HX-Request") == "true"
        return ["training/_run_list.html" if is_refresh else self.template_name]

    def get_queryset(self) -> QuerySet[TrainingRun]:
        """Return the wanted runs."""
        return sort_runs(runs=find_runs(among=runs_for_list(), wanted=self.form.wanted), by=self.form.order)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the filters, why runs wait, and how soon the page shall refresh itself."""
        context = super().get_context_data(**kwargs)
        waiting = describe_waiting(context["runs"])
        return {
            **context,
            "form": self.form,
            "filtered": not self.form.wanted.is_everything,
            "statuses": JobStatus.choices,
            "status": self.form.wanted.status,
            "sorts": _next_orders(self.form.order),
            "export_query": _export_query(self.form.wanted),
            "poll": min((poll_seconds(run) for run in context["runs"] if not run.is_terminal), default=0) * 2,
            "pause": find_pause(QueueName.TRAINING),
            "lines": [(run, waiting.get(run.pk)) for run in context["runs"]],
            "fewest_compared": FEWEST_COMPARED,
            "most_compared": MOST_COMPARED,
            "most_cancelled": MOST_CANCELLED,
            "list_parameters": list_parameters(self.request),
        }


class RunsCancelView(PageAccessMixin, SeveralView):
    """Ask whether the chosen runs shall end, and end them when the answer is posted."""

    permission_required = "training.view_trainingrun"
    template_name = "training/runs_cancel.html"
    named = "run"
    list_view = "runs"

    def find(self, numbers: Sequence[int]) -> list[TrainingRun]:
        """Return those that can be cancelled."""
        chosen = runs_for_list().filter(pk__in=numbers[:MOST_CANCELLED])
        return [run for run in chosen if not run.is_terminal and may_steer(run, self.viewer)]

    def act(self, numbers: Sequence[int]) -> None:
        """Cancel them."""
        outcome = cancel_runs(numbers=numbers, by=self.viewer)
        count = len(outcome.cancelled)
        sentence = ngettext("%(count)d run is being cancelled.", "%(count)d runs are being cancelled.", count)
        tell_outcome(
            self.request,
            done=sentence % {"count": count} if count else "",
            left_alone=[
                (outcome.ended, _("Ended already: %(numbers)s.")),
                (outcome.refused, _("Somebody else’s, and left alone: %(numbers)s.")),
                (outcome.missing, _("Not there: %(numbers)s.")),
            ],
        )


def _next_orders(order: str) -> dict[str, dict[str, str]]:
    """Return, for each column that a list can go by, the order that a click on its head asks for, and its state."""
    states = {order.removeprefix("-"): "descending" if order.startswith("-") else "ascending"}
    first = {name: f"-{name}" if name in {"run", "accuracy"} else name for name in _COLUMNS}
    turned = order.removeprefix("-") if order.startswith("-") else f"-{order}"
    return {
        name: {"next": turned if name in states else first[name], "state": states.get(name, "")} for name in _COLUMNS
    }


def _export_query(wanted: WantedRuns) -> str:
    """Return the filters as the API takes them."""
    return urlencode({name: value for name, value in asdict(wanted).items() if value not in {None, ""}})

"""The page that shows several runs side by side; its address names them."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_noop
from django.views.generic import TemplateView

from training.engine.fields import FIELDS
from training.engine_texts import show_value, translate
from training.exceptions import ServiceError
from training.services import ComparedFigure, ComparedSetting, Comparison, compare_runs
from training.views.access import PageAccessMixin
from training.views.charts import charts_of_several_runs
from training.views.numbers import read_numbers
from training.views.progress import poll_seconds
from training.views.several import list_parameters

_FIGURES: Final = {
    "accuracy": ("percent", gettext_noop("Test accuracy")),
    "top5_accuracy": ("percent", gettext_noop("Among the first five")),
    "f1_macro": ("percent", gettext_noop("Macro F1")),
    "precision_macro": ("percent", gettext_noop("Macro precision")),
    "recall_macro": ("percent", gettext_noop("Macro recall")),
    "ece": ("percent", gettext_noop("Calibration error")),
    "nll": ("number", gettext_noop("Log-loss")),
    "validation_accuracy": ("percent", gettext_noop("Best validation accuracy")),
    "wall_seconds": ("duration", gettext_noop("Training time")),
    "parameters": ("count", gettext_noop("Parameters")),
}


_OWN: Final = ("run", "differences", "scale", "smoothing")
"""What of the address is about the comparison; the rest is the list's from which it was asked for."""


class RunCompareView(PageAccessMixin, TemplateView):
    """Two to six runs side by side; `?differences=only` leaves out the settings that they share."""

    permission_required = "training.view_trainingrun"
    template_name = "training/compare.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401  # Django's own
        """Show them, or say why they cannot be compared."""
        try:
            comparison = compare_runs(numbers=read_numbers(request.GET))
        except ServiceError as error:
            return self.render_to_response(self.get_context_data(refusal=str(error)), status=error.status)
        return self.render_to_response(self.get_context_data(**self._arrange(comparison)))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # Django's own signature
        """Add the way back to the list as it was."""
        back = reverse("runs", query=list_parameters(self.request, but=_OWN))
        return super().get_context_data(back=back, **kwargs)

    def _arrange(self, comparison: Comparison) -> dict[str, Any]:
        rows = [_setting_row(setting) for setting in comparison.settings]
        only_differences = self.request.GET.get("differences") == "only"
        return {
            "comparison": comparison,
            "only_differences": only_differences,
            "settings_table": [row for row in rows if row["differs"] or not only_differences],
            "difference_count": sum(row["differs"] for row in rows),
            "setting_count": len(rows),
            "figures": [_figure_row(figure) for figure in comparison.figures],
            "charts": charts_of_several_runs(),
            "points": sum(comparison.epochs),
            "poll": min((poll_seconds(run) for run in comparison.runs if not run.is_terminal), default=0) * 2,
        }


def _setting_row(setting: ComparedSetting) -> dict[str, Any]:
    spec = FIELDS[setting.name]
    return {
        "label": translate(spec.label),
        "unit": translate(spec.unit),
        "values": [show_value(value) if value is not None else "" for value in setting.values],
        "differs": setting.differs,
    }


def _figure_row(figure: ComparedFigure) -> dict[str, Any]:
    kind, label = _FIGURES[figure.name]
    cells = [(value, position in figure.best) for position, value in enumerate(figure.values)]
    return {"kind": kind, "label": translate(label), "cells": cells}

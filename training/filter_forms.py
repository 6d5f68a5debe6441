"""The filters of the runs list, kept in the address."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.db.models.fields.json import KeyTextTransform
from django.utils.translation import gettext_lazy as _

from training.choices import JobStatus
from training.engine.recipes import RECIPES
from training.models import Dataset, TrainingRun
from training.services import NEWEST_FIRST, SORTS, WantedRuns

_ANY: Final = ("", _("Any"))
_SORT_NAMES: Final = {
    "-run": _("Newest first"),
    "run": _("Oldest first"),
    "-accuracy": _("Most accurate first"),
    "accuracy": _("Least accurate first"),
    "status": _("State, A to Z"),
    "-status": _("State, Z to A"),
    "dataset": _("Data, A to Z"),
    "-dataset": _("Data, Z to A"),
    "recipe": _("Recipe, A to Z"),
    "-recipe": _("Recipe, Z to A"),
    "owner": _("Owner, A to Z"),
    "-owner": _("Owner, Z to A"),
}
_CONTROL: Final = {"class": "control"}


def _select(label: Any) -> forms.ChoiceField:  # noqa: ANN401  # a lazy text
    return forms.ChoiceField(label=label, required=False, widget=forms.Select(attrs=_CONTROL))


def _percentage(label: Any) -> forms.FloatField:  # noqa: ANN401  # a lazy text
    widget = forms.NumberInput(attrs={**_CONTROL, "step": "any", "inputmode": "decimal"})
    return forms.FloatField(label=label, required=False, min_value=0, max_value=100, widget=widget)


def _day(label: Any) -> forms.DateField:  # noqa: ANN401  # a lazy text
    widget = forms.DateInput(attrs={**_CONTROL, "type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, required=False, widget=widget, input_formats=["%Y-%m-%d"])


class RunFilterForm(forms.Form):
    """Which runs are listed, and in which order."""

    search = forms.CharField(
        label=_("Search"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={**_CONTROL, "type": "search", "autocomplete": "off", "data-shortcut-search": ""}),
    )
    status = forms.ChoiceField(
        label=_("State"), choices=[_ANY, *JobStatus.choices], required=False, widget=forms.HiddenInput()
    )
    dataset = _select(_("Data"))
    recipe = _select(_("Recipe"))
    architecture = _select(_("Network"))
    owner = _select(_("Owner"))
    since = _day(_("Requested from (UTC)"))
    until = _day(_("Requested until (UTC)"))
    least = _percentage(_("Accuracy from (%)"))
    most = _percentage(_("Accuracy to (%)"))
    sort = forms.ChoiceField(
        label=_("Order"),
        choices=[(name, _SORT_NAMES[name]) for name in _SORT_NAMES if name in SORTS],
        required=False,
        widget=forms.Select(attrs=_CONTROL),
    )

    main = ("search", "dataset", "recipe", "sort")
    more = ("architecture", "owner", "since", "until", "least", "most")

    def __init__(self, data: Any) -> None:  # noqa: ANN401  # Django's own signature
        super().__init__(data)
        runs = TrainingRun.objects.order_by()
        self._offer("dataset", Dataset.objects.values_list("name", flat=True))
        self._offer("recipe", RECIPES)
        architectures = runs.annotate(architecture=KeyTextTransform("architecture", "config"))
        self._offer("architecture", sorted(architectures.values_list("architecture", flat=True).distinct()))
        owners = runs.exclude(owner=None).values_list("owner__username", flat=True).distinct()
        self._offer("owner", sorted(owners))

    @property
    def main_fields(self) -> list[forms.BoundField]:
        """The fields that are always there."""
        return [self[name] for name in self.main]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        """The fields that are folded away."""
        return [self[name] for name in self.more]

    @property
    def uses_more(self) -> bool:
        """Whether one of the folded fields is filled in."""
        return any(self.data.get(name) for name in self.more)

    @property
    def wanted(self) -> WantedRuns:
        """What was chosen, without what is refused; to be asked for once the form was checked."""
        chosen = {name: value for name, value in self.cleaned_data.items() if value not in {None, ""}}
        chosen.pop("sort", None)
        for field, name in (("least", "least_accuracy"), ("most", "most_accuracy")):
            if field in chosen:
                chosen[name] = chosen.pop(field) / 100
        return WantedRuns(**chosen)

    @property
    def order(self) -> str:
        """What the list goes by."""
        return self.cleaned_data.get("sort") or NEWEST_FIRST

    def _offer(self, name: str, values: Any) -> None:  # noqa: ANN401  # an iterable of texts
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  # for the type checker
        field.choices = [_ANY, *((value, value) for value in values)]

"""The filters of the runs list, kept in the address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.db.models import Model
from django.utils.choices import BaseChoiceIterator
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


class _Occurring(BaseChoiceIterator):
    """The values that rows have, read when they are offered.

    Args:
        model: Of the rows.
        lookup: What of them is meant.
    """

    def __init__(self, model: type[Model], lookup: str) -> None:
        self._rows = model._default_manager.filter(**{f"{lookup}__isnull": False}).order_by(lookup)
        self._lookup = lookup

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield _ANY  # alone where only the first choice is looked at
        for value in self._rows.values_list(self._lookup, flat=True).distinct():
            yield value, value

    def has(self, value: str) -> bool:
        """Whether a row has the value. None has a NUL in it, and Postgres refuses the question."""
        return "\0" not in value and self._rows.filter(**{self._lookup: value}).exists()


class _OccurringField(forms.ChoiceField):
    """A choice among the values that rows have; one that was chosen is looked up without reading the others."""

    def __init__(self, label: Any, model: type[Model], lookup: str) -> None:  # noqa: ANN401  # a lazy text
        self._occurring = _Occurring(model, lookup)
        super().__init__(label=label, required=False, widget=forms.Select(attrs=_CONTROL), choices=self._occurring)

    def valid_value(self, value: str) -> bool:
        """Whether it may be chosen."""
        return self._occurring.has(value)


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
    dataset = _OccurringField(_("Data"), Dataset, "name")
    recipe = forms.ChoiceField(
        label=_("Recipe"),
        choices=[_ANY, *((name, name) for name in RECIPES)],
        required=False,
        widget=forms.Select(attrs=_CONTROL),
    )
    architecture = _OccurringField(_("Network"), TrainingRun, "config__architecture")
    owner = _OccurringField(_("Owner"), TrainingRun, "owner__username")
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

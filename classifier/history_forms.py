"""The history's filters as people fill them in, kept in the address; and what of it they want deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from classifier.choices import Source
from classifier.querysets import Wanted
from training.class_names import display_name
from training.models import ModelVersion

MOST_CHOSEN: Final = 500
"""Predictions that one form names; a page shows far fewer."""

_FIRST_DAY, _LAST_DAY = date(1970, 1, 2), date(9998, 12, 30)  # a day to spare on either side, for the time zones
_LARGEST_KEY: Final = 2**63 - 1


def _control(widget: type[forms.Widget], **attributes: str) -> forms.Widget:
    return widget(attrs={"class": "control", **attributes})


def _day_field(label: Any) -> forms.DateField:  # noqa: ANN401  # a lazy text
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"class": "control", "type": "date"})
    validators = [MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)]
    return forms.DateField(label=label, required=False, widget=widget, validators=validators)


def _percent_field(label: Any) -> forms.FloatField:  # noqa: ANN401  # a lazy text
    widget = _control(forms.NumberInput, step="any", inputmode="decimal")
    return forms.FloatField(label=label, required=False, min_value=0, max_value=100, widget=widget)


class HistoryFilterForm(forms.Form):
    """The filters of the history."""

    name = forms.CharField(
        label=_("File name"),
        max_length=100,
        required=False,
        widget=_control(forms.TextInput, type="search", autocomplete="off"),
    )
    class_key = forms.CharField(label=_("Class"), max_length=63, required=False, widget=_control(forms.Select))
    said = forms.ChoiceField(
        label=_("You said"),
        required=False,
        widget=_control(forms.Select),
        choices=[("", _("Anything")), ("right", _("Right")), ("wrong", _("Wrong")), ("nothing", _("Nothing yet"))],
    )
    version = forms.IntegerField(
        label=_("Model"), required=False, min_value=1, max_value=_LARGEST_KEY, widget=_control(forms.Select)
    )
    source = forms.ChoiceField(
        label=_("Asked through"),
        required=False,
        widget=_control(forms.Select),
        choices=[("", _("Any way")), *Source.choices],
    )
    day_from = _day_field(_("From"))
    day_to = _day_field(_("To"))
    sure_from = _percent_field(_("Confidence from (%)"))
    sure_to = _percent_field(_("Confidence to (%)"))
    zone = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"data-time-zone": ""}))

    FURTHER: Final = ("version", "source", "day_from", "day_to", "sure_from", "sure_to")
    """What is folded away until somebody wants it."""

    def __init__(self, data: Any, *, class_keys: list[str], versions: Iterable[ModelVersion]) -> None:  # noqa: ANN401
        super().__init__(data)
        asked = data.get("class_key", "")[:63]
        keys = class_keys if not asked or asked in class_keys else [*class_keys, asked]
        self._offer("class_key", [("", _("All classes")), *((key, display_name(key)) for key in keys)])
        self._offer("version", [("", _("All models")), *((version.pk, str(version)) for version in versions)])

    def _offer(self, name: str, choices: list[tuple[Any, Any]]) -> None:
        cast("forms.Select", self.fields[name].widget).choices = choices

    @property
    def further(self) -> list[forms.BoundField]:
        """The fields that are folded away."""
        return [self[name] for name in self.FURTHER]

    @property
    def uses_further(self) -> bool:
        """Whether one of them has a value."""
        return any(self.data.get(name) for name in self.FURTHER)

    @property
    def in_use(self) -> dict[str, str]:
        """The filters that were sent, by name; without the time zone, which alone filters nothing."""
        sent = {name: self.data.get(name, "") for name in self.fields if self.data.get(name)}
        return {} if set(sent) <= {"zone"} else sent

    @property
    def address(self) -> str:
        """The filters as an address has them, without the page; "" without any."""
        return urlencode(self.in_use)

    @property
    def wanted(self) -> Wanted:
        """What the services are to find; of a valid form."""
        given = self.cleaned_data
        day_from, day_to, zone = given["day_from"], given["day_to"], given["zone"]
        return Wanted(
            class_key=given["class_key"],
            search=given["name"],
            version=given["version"],
            source=given["source"],
            created_from=_midnight(day_from, zone) if day_from else None,
            created_to=_midnight(day_to + timedelta(days=1), zone) if day_to else None,
            confidence_min=_fraction(given["sure_from"]),
            confidence_max=_fraction(given["sure_to"]),
            right={"right": True, "wrong": False}.get(given["said"]),
            labelled=False if given["said"] == "nothing" else None,
        )

    def clean_zone(self) -> tzinfo:
        """Return the reader's time zone, which their browser fills in; without a known one, the site's."""
        try:
            return ZoneInfo(self.cleaned_data["zone"])
        except (ZoneInfoNotFoundError, ValueError, OSError):  # no name of a zone; the last, that of a folder of them
            return timezone.get_default_timezone()

    def clean(self) -> dict[str, Any]:
        """Make sure that ranges begin before they end."""
        given = super().clean() or {}
        for first, last, sentence in (
            ("day_from", "day_to", _("This day is before the first one.")),
            ("sure_from", "sure_to", _("This is less than where the range begins.")),
        ):
            low, high = given.get(first), given.get(last)
            if low is not None and high is not None and low > high:
                self.add_error(last, sentence)
        return given


class DeletionForm(forms.Form):
    """Which predictions are to go: some that were chosen, or all that the filters of the address find."""

    CHOSEN, MATCHING = "chosen", "matching"

    what = forms.ChoiceField(choices=[(CHOSEN, CHOSEN), (MATCHING, MATCHING)])
    up_to = forms.IntegerField(required=False, min_value=1, max_value=_LARGEST_KEY)
    confirmed = forms.BooleanField(required=False)

    @property
    def keys(self) -> list[int]:
        """The predictions that were chosen; what is no number that a row can have is left out."""
        sent = cast("Any", self.data).getlist("id")[:MOST_CHOSEN]
        numbers = (int(text) for text in sent if text.isascii() and text.isdecimal() and len(text) < 20)
        return sorted({number for number in numbers if number <= _LARGEST_KEY}, reverse=True)


def export_query(wanted: Wanted) -> str:
    """Return `wanted` as the API's export takes it in its address."""
    parameters = {
        "class": wanted.class_key,
        "model_version": f"v{wanted.version}" if wanted.version else "",
        "created_from": wanted.created_from and wanted.created_from.isoformat(),
        "created_to": wanted.created_to and wanted.created_to.isoformat(),
        "confidence_min": wanted.confidence_min,
        "confidence_max": wanted.confidence_max,
        "source": wanted.source,
        "labelled": wanted.labelled,
        "right": wanted.right,
        "search": wanted.search,
    }
    return urlencode({name: str(value) for name, value in parameters.items() if value not in {None, ""}})


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone)


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100

"""What people fill in about API tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from cifarsite.accounts.tokens import default_days
from training.choices import Scope


class TokenForm(forms.Form):
    """A token to make."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        required=False,
        help_text=_("What it is for, so that you know it again."),
        widget=forms.TextInput(attrs={"class": "control", "autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=Scope.choices,
        initial=[Scope.PREDICT],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Never more than you may do yourself."),
        error_messages={"required": _("Choose at least one.")},
    )
    days = forms.IntegerField(
        label=_("Days that it is valid"),
        min_value=1,
        max_value=settings.TOKEN_MAX_DAYS,
        widget=forms.NumberInput(attrs={"class": "control"}),
    )

    def __init__(self, data: Any = None) -> None:  # noqa: ANN401  # Django's signature
        super().__init__(data, initial={"days": default_days()})

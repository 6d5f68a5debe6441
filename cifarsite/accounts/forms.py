"""What people fill in about their account and their API tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from cifarsite.accounts.models import User
from cifarsite.accounts.preferences import time_zones
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


class PreferencesForm(forms.Form):
    """Language, time zone and mails of a person."""

    language = forms.ChoiceField(
        label=_("Language"),
        choices=[("", _("As the browser asks")), *settings.LANGUAGES],
        required=False,
        help_text=_("Of the pages, and of mails that you are sent."),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        help_text=_("In which moments are shown."),
    )
    wants_mail = forms.BooleanField(
        label=_("Send me an e-mail when a run, a batch or an import of mine ends"), required=False
    )

    def __init__(self, data: Any = None, *, user: User) -> None:  # noqa: ANN401  # Django's signature
        initial = {"language": user.language, "time_zone": user.time_zone, "wants_mail": user.wants_mail}
        super().__init__(data, initial=initial)
        zone = self.fields["time_zone"]
        assert isinstance(zone, forms.ChoiceField)  # noqa: S101  # for the type checker
        zone.choices = [("", _("The browser’s")), *((name, name.replace("_", " ")) for name in time_zones())]


class WebhookForm(forms.Form):
    """Where notifications are posted."""

    url = forms.URLField(
        label=_("Address"),
        max_length=500,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"placeholder": "https://example.org/hook", "autocomplete": "off"}),
    )


class DeletionForm(forms.Form):
    """Proof that it is the owner who deletes an account: its password, or its name where it has none."""

    proof = forms.CharField(strip=False)

    def __init__(self, data: Any = None, *, user: User) -> None:  # noqa: ANN401  # Django's signature
        super().__init__(data)
        self._user = user
        proof = self.fields["proof"]
        if user.has_usable_password():
            proof.label = _("Your password")
            proof.widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})
        else:
            proof.label = _("Your user name")
            proof.widget = forms.TextInput(attrs={"autocomplete": "off"})

    def clean_proof(self) -> str:
        """Compare it.

        Raises:
            ValidationError: it is wrong.
        """
        proof = str(self.cleaned_data["proof"])
        if self._user.has_usable_password():
            if not self._user.check_password(proof):
                raise forms.ValidationError(_("This is not your password."))
        elif proof != self._user.username:
            raise forms.ValidationError(_("This is not your user name."))
        return proof

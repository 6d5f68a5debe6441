"""What people fill in about batches: the pictures, and which answers they want to see."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.answers import LEANING
from training.class_names import display_name

_WANTED: Final[dict[str, dict[str, Any]]] = {
    "errors": {"only_errors": True},
    "unsure": {"confidence_max": LEANING},
    "wrong": {"right": False},
}


class ItemFilterForm(forms.Form):
    """The filter of a batch's answers, kept in the address."""

    show = forms.CharField(
        label=_("Show"), max_length=63, required=False, widget=forms.Select(attrs={"class": "control"})
    )

    def __init__(self, data: Any, *, class_keys: list[str]) -> None:  # noqa: ANN401  # Django's signature
        super().__init__(data)
        widget = self.fields["show"].widget
        assert isinstance(widget, forms.Select)  # noqa: S101  # for the type checker
        widget.choices = [
            ("", _("All pictures")),
            ("errors", _("Those that could not be read")),
            ("unsure", _("Unsure answers")),
            ("wrong", _("Answers unlike the label")),
            *((f"class:{key}", display_name(key)) for key in class_keys),
        ]

    @property
    def wanted(self) -> dict[str, Any]:
        """What `item_page` is to show."""
        shown: str = self.cleaned_data["show"] if self.is_valid() else ""
        if shown.startswith("class:"):
            return {"class_key": shown.removeprefix("class:")}
        return _WANTED.get(shown, {})

"""What people fill in about batches: the pictures, and which answers they want to see."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from training.class_names import display_name


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
            *((f"class:{key}", display_name(key)) for key in class_keys),
        ]

    @property
    def wanted(self) -> dict[str, Any]:
        """What `item_page` is to be told."""
        shown = self.cleaned_data["show"] if self.is_valid() else ""
        return {"only_errors": shown == "errors", "class_key": shown.removeprefix("class:") if ":" in shown else ""}

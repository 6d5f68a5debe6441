"""What people fill in: pictures to classify, and whether an answer was right."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from training.class_names import display_name

MAX_PICTURES: Final = 20  # in one submission without JavaScript; with it each picture is a request of its own


class PicturesInput(forms.FileInput):
    """A file control that takes several pictures."""

    allow_multiple_selected = True


class PicturesField(forms.FileField):
    """One to `MAX_PICTURES` uploaded files. What they contain is judged later, one by one."""

    default_error_messages = {
        "too_many": _("Choose at most %(limit)s pictures at a time."),
    }

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:  # noqa: ANN401  # Django's signature
        """Return the uploaded files."""
        files = [file for file in data or [] if file]
        if not files:
            super().clean(None, initial)
        if len(files) > MAX_PICTURES:
            raise forms.ValidationError(
                self.error_messages["too_many"], code="too_many", params={"limit": MAX_PICTURES}
            )
        return files


class PicturesForm(forms.Form):
    """The pictures of one submission."""

    file = PicturesField(
        label=_("Pictures"),
        widget=PicturesInput,
        # An empty file is a picture that cannot be read, and is answered as such.
        allow_empty_file=True,
        error_messages={"required": _("Choose a picture first.")},
    )
    keep = forms.BooleanField(label=_("Keep the original file"), required=False)


class LabelForm(forms.Form):
    """What the person says the picture shows."""

    label = forms.ChoiceField(label=_("It is"))

    def __init__(self, data: Any = None, *, class_keys: list[str]) -> None:  # noqa: ANN401  # Django's signature
        super().__init__(data)
        field = self.fields["label"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  # for the type checker
        field.choices = [(key, display_name(key)) for key in class_keys]

"""What people fill in: a new training run, a dataset import, a model package."""

from __future__ import annotations

import re
from typing import Any, Final, cast

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.formats import sanitize_separators
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.choices import ImportSource, JobStatus, Priority
from training.engine.config import TrainConfig, Value, check_value, describe_allowed
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELD_GROUPS, FIELDS, FieldSpec
from training.engine.recipes import RECIPES, Recipe
from training.engine_texts import explain_refusal, show_value, translate, translate_allowed
from training.models import Dataset, DatasetImport, TrainingRun
from training.models.dataset import validate_name

MAIN_SETTINGS: Final = ("epochs", "batch_size", "learning_rate", "seed")
MORE_SETTINGS: Final = {
    title: tuple(name for name in group if name not in {"dataset", "recipe", *MAIN_SETTINGS})
    for title, group in FIELD_GROUPS.items()
}
SETTINGS: Final = (*MAIN_SETTINGS, *(name for names in MORE_SETTINGS.values() for name in names))
NOTHING: Final = "-"
"""Typed for an empty text, since a field left empty takes the recipe's value; no dataset is called so."""
_LISTED_RUNS: Final = 50
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class SettingField(forms.CharField):
    """One `TrainConfig` field, typed as text; empty leaves it to the recipe. The engine decides what is allowed."""

    def __init__(self, name: str) -> None:
        self.name, self.spec = name, FIELDS[name]
        self.default_text = ""
        label, help_text = gettext_lazy(self.spec.label), gettext_lazy(self.spec.help)
        super().__init__(required=False, label=label, help_text=help_text, widget=_widget(self.spec))

    @property
    def unit(self) -> str:
        """Unit of the value, empty when it has none or the label says it."""
        return "" if self.spec.unit == self.spec.label.lower() else translate(self.spec.unit)

    @property
    def allowed(self) -> str:
        """What may be typed; empty where the choices show it."""
        is_listed = self.spec.type == "bool" or (self.spec.choices and not self.spec.examples)
        allowed = "" if is_listed else translate_allowed(describe_allowed(self.spec))
        if self.spec.type == "str" and not self.spec.choices:
            return _("a dash (%(dash)s) for none, or %(allowed)s") % {"dash": NOTHING, "allowed": allowed}
        return allowed

    def show_default(self, recipe: Recipe) -> None:
        """Show what the recipe takes when the field is left empty."""
        value = recipe.defaults[self.name]
        self.default_text = text = show_value(value)
        if isinstance(self.widget, forms.Select):
            empty = _("recipe’s choice (%(value)s)") % {"value": text}
            self.widget.choices = [("", empty), *list(self.widget.choices)[1:]]
        else:
            self.widget.attrs["placeholder"] = text

    def clean(self, value: object) -> Value | None:
        """Return the value in the field's own type, None when it was left empty.

        Raises:
            ValidationError: one sentence with the field, the value and what is allowed.
        """
        text = cast("str", super().clean(value))
        if not text:
            return None
        try:
            return check_value(self.name, _parse(self.spec, text))
        except ConfigError as error:
            raise forms.ValidationError(explain_refusal(error, typed=text), code="refused") from error


class RunForm(forms.Form):
    """Dataset, recipe, and the settings that shall differ from the recipe's."""

    dataset = forms.ModelChoiceField(
        queryset=Dataset.objects.defer("manifest", "checks"), label=gettext_lazy("Dataset"), empty_label=None
    )
    recipe = forms.ChoiceField(label=gettext_lazy("Recipe"))

    priority = forms.TypedChoiceField(
        label=gettext_lazy("Priority"),
        choices=Priority.choices,
        coerce=lambda value: Priority(int(value)),
        required=False,
        initial=Priority.NORMAL,
        help_text=gettext_lazy("Runs of a higher priority are taken first, whenever they were asked for."),
    )
    after = forms.ModelChoiceField(
        queryset=TrainingRun.objects.active().select_related("dataset").only("recipe", "status", "dataset__name"),
        label=gettext_lazy("Start after"),
        required=False,
        empty_label=gettext_lazy("no other run"),
        help_text=gettext_lazy("It starts once that run has succeeded, and is cancelled when that one is or fails."),
    )

    def __init__(self, *args: Any, may_overtake: bool = True, **kwargs: Any) -> None:  # noqa: ANN401  # Django's own
        super().__init__(*args, **kwargs)
        cast("forms.ChoiceField", self.fields["priority"]).choices = _priorities(may_overtake=may_overtake)
        cast("forms.ChoiceField", self.fields["after"]).choices = self._list_runs_to_follow
        choices = [(recipe.name, translate(recipe.title)) for recipe in RECIPES.values()]
        self.fields["recipe"] = forms.ChoiceField(label=_("Recipe"), choices=choices)
        for name in SETTINGS:
            field = SettingField(name)
            field.show_default(self.chosen_recipe)
            self.fields[name] = field

    @property
    def chosen_recipe(self) -> Recipe:
        """The recipe picked so far, the first one before any pick."""
        return RECIPES.get(str(self["recipe"].value()), next(iter(RECIPES.values())))

    @property
    def main_settings(self) -> list[forms.BoundField]:
        """The settings that most people change."""
        return [self[name] for name in MAIN_SETTINGS]

    @property
    def more_settings(self) -> dict[str, list[forms.BoundField]]:
        """All other settings, by the title of what they are about."""
        return {translate(title): [self[name] for name in names] for title, names in MORE_SETTINGS.items()}

    @property
    def more_is_open(self) -> bool:
        """Whether one of the other settings was filled in or refused, and must be seen."""
        return any(field.errors or field.value() for group in self.more_settings.values() for field in group)

    @property
    def queue_is_open(self) -> bool:
        """Whether something about the queue was filled in or refused, and must be seen."""
        typed = self["priority"].value() not in {None, "", str(int(Priority.NORMAL)), Priority.NORMAL}
        return typed or any(self[name].errors for name in ("priority", "after")) or bool(self["after"].value())

    def overrides(self) -> dict[str, Value]:
        """Return the settings that were filled in."""
        chosen = {name: self.cleaned_data.get(name) for name in SETTINGS}
        return {name: value for name, value in chosen.items() if value is not None}

    def clean_priority(self) -> Priority:
        """Take a missing priority for the normal one."""
        chosen = self.cleaned_data["priority"]
        return chosen if isinstance(chosen, Priority) else Priority.NORMAL

    def clean(self) -> dict[str, Any]:
        """Let the engine look at the settings together."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                TrainConfig.from_recipe(cleaned["recipe"], dataset=cleaned["dataset"].name, **self.overrides())
            except ConfigError as error:
                self.refuse(error)
        return cleaned

    def refuse(self, error: ConfigError) -> None:
        """Attach the engine's refusal to the field it names."""
        self.add_error(error.field if error.field in self.fields else None, explain_refusal(error))

    def _list_runs_to_follow(self) -> list[tuple[object, str]]:
        """Return the newest runs that have not ended; older ones can be named in the address (`?after=`)."""
        field = cast("forms.ModelChoiceField[TrainingRun]", self.fields["after"])
        runs = list(cast("QuerySet[TrainingRun]", field.queryset).order_by("-pk")[:_LISTED_RUNS])
        return [("", str(field.empty_label)), *((run.pk, _describe_run(run)) for run in runs)]


class ExtensionForm(forms.Form):
    """For how many epochs more a run shall go on."""

    epochs = forms.IntegerField(
        label=gettext_lazy("Epochs more"), min_value=1, widget=forms.NumberInput(attrs={"inputmode": "numeric"})
    )


class PriorityForm(forms.Form):
    """When a run that waits is taken."""

    priority = forms.TypedChoiceField(label=gettext_lazy("Priority"), choices=Priority.choices, coerce=int)

    @classmethod
    def of(cls, priority: int, *, may_overtake: bool) -> PriorityForm:
        """Return the form of a run that has `priority`, which stays to be chosen whoever gave it."""
        form = cls(initial={"priority": priority})
        allowed = _priorities(may_overtake=may_overtake or priority > Priority.NORMAL)
        cast("forms.ChoiceField", form.fields["priority"]).choices = allowed
        return form


class ImportForm(forms.ModelForm[DatasetImport]):
    """Where a dataset comes from and what it shall be called."""

    upload = forms.FileField(
        label=gettext_lazy("Archive"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".zip,.tar,.gz,.tgz,.xz,.txz"}),
    )

    class Meta:
        model = DatasetImport
        fields = ["source", "name", "skip_unreadable", "notes"]
        labels = {
            "name": gettext_lazy("Name"),
            "skip_unreadable": gettext_lazy("Leave out images that cannot be read, and list them"),
            "notes": gettext_lazy("Notes"),
        }
        widgets = {
            "source": forms.RadioSelect,
            "notes": forms.TextInput,
            "name": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's own signature
        super().__init__(*args, **kwargs)
        source = cast("forms.ChoiceField", self.fields["source"])
        source.choices = ImportSource.choices
        self.fields["name"].help_text = str(validate_name.message)

    def clean(self) -> dict[str, Any]:
        """An archive must be there, and be small enough."""
        cleaned = super().clean() or self.cleaned_data
        upload: UploadedFile[bytes] | None = cleaned.get("upload")
        if cleaned.get("source") != ImportSource.ARCHIVE:
            cleaned["upload"] = None
        elif upload is None and "upload" not in self.errors:
            self.add_error("upload", _("Choose the archive to import."))
        elif upload is not None and (upload.size or 0) > settings.ARCHIVE_MAX_BYTES:
            sentence = _("%(name)s has %(size)s; an archive may have %(limit)s at most.") % {
                "name": upload.name,
                "size": filesizeformat(upload.size or 0),
                "limit": filesizeformat(settings.ARCHIVE_MAX_BYTES),
            }
            self.add_error("upload", sentence)
        return cleaned


def _priorities(*, may_overtake: bool) -> list[tuple[int, str]]:
    """Return the priorities that a person may give; only operators let runs overtake those of others."""
    return [(value, str(label)) for value, label in Priority.choices if may_overtake or value <= Priority.NORMAL]


def _describe_run(run: TrainingRun) -> str:
    status = JobStatus(run.status).label.lower()
    return _("%(run)s: %(recipe)s on %(dataset)s, %(status)s") % {
        "run": run,
        "recipe": run.recipe,
        "dataset": run.dataset.name,
        "status": status,
    }


def _widget(spec: FieldSpec) -> forms.Widget:
    """Return the input that suits a setting; the first choice of a list leaves it to the recipe."""
    if spec.type == "bool":
        return forms.Select(choices=[("", ""), ("true", gettext_lazy("yes")), ("false", gettext_lazy("no"))])
    if spec.choices and not spec.examples:
        return forms.Select(choices=[("", ""), *((choice, choice) for choice in spec.choices)])
    # type="number" would let some browsers send nothing for a text that is no number: the default, silently.
    mode = {"int": "numeric", "float": "decimal"}.get(spec.type, "text")
    return forms.TextInput(attrs={"inputmode": mode, "autocomplete": "off", "spellcheck": "false"})


def _parse(spec: FieldSpec, text: str) -> object:
    """Turn what was typed into the setting's type where that is possible; the engine refuses the rest."""
    if spec.type == "bool":
        return {"true": True, "false": False}.get(text, text)
    if spec.type == "str":
        return "" if text == NOTHING else text
    number = str(sanitize_separators(text))  # a French reader types 0,12
    if spec.type == "int":
        return int(number) if _WHOLE_NUMBER.fullmatch(number) else text
    try:
        return float(number)
    except ValueError:
        return text


class PackageForm(forms.Form):
    """A model package from elsewhere. What it contains is judged by the service."""

    file = forms.FileField(
        label=gettext_lazy("Package"),
        help_text=gettext_lazy("A .zip, .tar, .tar.gz or .tar.xz, as another site gave it out."),
        error_messages={
            "required": gettext_lazy("Choose a file first."),
            "empty": gettext_lazy("The file is empty."),
        },
        widget=forms.ClearableFileInput(attrs={"class": "control", "accept": ".zip,.tar,.gz,.tgz,.xz,.txz"}),
    )

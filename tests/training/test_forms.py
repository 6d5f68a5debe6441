"""The forms: what a person types, in whatever shape, becomes a checked value or one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.translation import override

from tests.factories import DatasetFactory
from training.engine.constants import PUBLISH_STAGES, VALIDATING
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.engine_texts import MARKED, plain_number, translate_progress
from training.forms import SETTINGS, ImportForm, RunForm
from training.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Dataset:
    made: Dataset = DatasetFactory.create()
    return made


def filled(dataset: Dataset, **settings: str) -> RunForm:
    return RunForm({"dataset": str(dataset.pk), "recipe": "fast", **settings})


def test_empty_settings_are_left_to_the_recipe(dataset: Dataset) -> None:
    form = filled(dataset, epochs="", learning_rate="  ")
    assert form.is_valid(), form.errors
    assert form.overrides() == {}


def test_settings_come_back_in_their_own_types(dataset: Dataset) -> None:
    form = filled(dataset, epochs=" 3 ", learning_rate="1e-1", flip="false", precision="float32")
    assert form.is_valid(), form.errors
    assert form.overrides() == {
        "epochs": 3,
        "learning_rate": 0.1,
        "flip": False,
        "precision": "float32",
    }


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("epochs", "0", "Epochs is “0”; allowed is a whole number from 1 to 1000."),
        ("epochs", "-1", "Epochs is “-1”; allowed is a whole number from 1 to 1000."),
        ("epochs", "2.5", "Epochs is “2.5”; allowed is a whole number from 1 to 1000."),
        ("epochs", "many", "Epochs is “many”; allowed is a whole number from 1 to 1000."),
        ("epochs", "9" * 5000, f"Epochs is “{'9' * 39}…”; allowed is a whole number from 1 to 1000."),
        ("batch_size", "1e9", "Batch size is “1e9”; allowed is a whole number from 2 to 8192."),
        ("learning_rate", "nan", "Learning rate is “nan”; allowed is a number from 0.00001 to 10."),
        ("learning_rate", "inf", "Learning rate is “inf”; allowed is a number from 0.00001 to 10."),
        ("learning_rate", "0,1,2", "Learning rate is “0,1,2”; allowed is a number from 0.00001 to 10."),
        ("seed", "<b>", "Seed is “<b>”; allowed is a whole number from 0 to 2147483647."),
        ("flip", "maybe", "Flip is “maybe”; allowed is true or false."),
        ("precision", "int4", "Precision is “int4”; allowed is one of auto, float32, bfloat16, float16."),
        ("epochs", "3\x00", "Null characters are not allowed."),
    ],
)
def test_a_refused_value_is_named_with_what_is_allowed(dataset: Dataset, field: str, typed: str, sentence: str) -> None:
    form = filled(dataset, **{field: typed})
    assert dict(form.errors) == {field: [sentence]}


def test_a_french_reader_may_type_a_comma(dataset: Dataset) -> None:
    with override("fr"):
        form = filled(dataset, learning_rate="0,05")
        assert form.is_valid(), form.errors
    assert form.overrides() == {"learning_rate": 0.05}


def test_unknown_datasets_and_recipes_are_refused(dataset: Dataset) -> None:
    form = RunForm({"dataset": "999", "recipe": "slow"})
    assert set(form.errors) == {"dataset", "recipe"}


def test_the_recipes_values_are_shown(dataset: Dataset) -> None:
    form = RunForm()
    defaults = RECIPES["fast"].defaults
    assert form["epochs"].field.widget.attrs["placeholder"] == str(defaults["epochs"])
    assert f"recipe’s choice ({defaults['precision']})" in str(form["precision"])
    assert "recipe’s choice (yes)" in str(form["flip"])
    assert form["weight_decay"].field.widget.attrs["placeholder"] == "0.000002"


def test_an_architecture_is_typed_and_its_contradictions_go_to_their_field(dataset: Dataset) -> None:
    resnet = {"architecture": "resnet18", "width_multiplier": "1", "optimizer": "adamw"}
    form = filled(dataset, **resnet)
    assert "<select" not in str(form["architecture"])
    assert form.is_valid(), form.errors
    refused = filled(dataset, **resnet, frozen_stages="1")
    assert dict(refused.errors) == {"frozen_stages": ["Frozen stages is “1”; allowed is 0 without pretrained weights."]}


def test_more_settings_stay_folded_until_one_is_used(dataset: Dataset) -> None:
    assert filled(dataset, epochs="3").more_is_open is False
    assert filled(dataset, momentum="0.9").more_is_open is True


def test_more_settings_are_grouped_by_what_they_are_about(dataset: Dataset) -> None:
    with override("fr"):
        groups = filled(dataset).more_settings
    assert list(groups) == ["Entraînement", "Réseau", "Optimisation", "Augmentation", "Transfert"]
    run = ["validation_fraction", "precision", "devices", "test_time_augmentation"]
    assert [field.name for field in groups["Entraînement"]] == run
    assert groups["Réseau"][0].name == "architecture"


def test_an_engine_refusal_of_settings_together_goes_to_its_field(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise ConfigError("momentum and seed quarrel.", field="momentum", value=0.5)

    monkeypatch.setattr("training.forms.TrainConfig.from_recipe", refuse)
    assert dict(filled(dataset).errors) == {"momentum": ["momentum and seed quarrel."]}


def test_every_setting_has_its_place_once() -> None:
    assert sorted([*SETTINGS, "dataset", "recipe"]) == sorted(FIELDS)


def test_every_engine_text_on_a_page_can_be_translated() -> None:
    shown = {text for name in RunForm().fields if name in FIELDS for text in field_texts(name)}
    shown |= {text for recipe in RECIPES.values() for text in (recipe.title, recipe.summary)}
    shown |= {VALIDATING, *PUBLISH_STAGES}
    assert shown - MARKED - {"Dataset", "Recipe", ""} == set()


def field_texts(name: str) -> set[str]:
    spec = FIELDS[name]
    return set() if name in {"dataset", "recipe"} else {spec.label, spec.help, spec.unit}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Epoch 3/8", "Epoch 3 of 8"),
        ("2,400 files read", "2,400 files read"),
        ("1 images drawn", "1 image drawn"),
        ("exporting", "Exporting"),
        ("", ""),
    ],
)
def test_progress_is_worded_for_the_reader(message: str, shown: str) -> None:
    assert translate_progress(message) == shown


@pytest.mark.parametrize(("value", "shown"), [(2e-06, "0.000002"), (1.0, "1"), (500, "500"), (0.12, "0.12")])
def test_numbers_are_shown_without_exponents(value: float, shown: str) -> None:
    assert plain_number(value) == shown


def import_form(upload: SimpleUploadedFile | None = None, **fields: Any) -> ImportForm:
    return ImportForm({"source": "archive", "name": "mine", **fields}, {"upload": upload} if upload else {})


def test_an_archive_must_be_chosen() -> None:
    assert dict(import_form().errors) == {"upload": ["Choose the archive to import."]}


def test_an_archive_may_not_be_too_large(settings: Any) -> None:
    settings.ARCHIVE_MAX_BYTES = 4
    form = import_form(SimpleUploadedFile("pictures.zip", b"12345"))
    sentence = "pictures.zip has 5\xa0bytes; an archive may have 4\xa0bytes at most."
    assert dict(form.errors) == {"upload": [sentence]}


def test_other_sources_take_no_archive() -> None:
    form = import_form(SimpleUploadedFile("pictures.zip", b"12345"), source="demo")
    assert form.is_valid(), form.errors
    assert form.cleaned_data["upload"] is None


@pytest.mark.parametrize("name", ["", "../x", "Ünïcode", "a b", ".hidden", "x" * 64])
def test_a_name_is_plain(name: str) -> None:
    assert set(import_form(source="demo", name=name).errors) == {"name"}

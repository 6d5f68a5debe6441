"""A configuration is complete and in range, or refused with a sentence that names the field."""

from __future__ import annotations

import dataclasses
import json

import pytest

from training.engine.config import TrainConfig, check_value, describe_allowed
from training.engine.exceptions import ConfigError
from training.engine.fields import FIELDS
from training.engine.recipes import RECIPES
from training.engine.recipes.base import NEUTRAL


def test_every_recipe_sets_a_tenth_aside_for_validation() -> None:
    assert {recipe.defaults["validation_fraction"] for recipe in RECIPES.values()} == {0.1}


def test_every_field_is_described() -> None:
    assert [field.name for field in dataclasses.fields(TrainConfig)] == list(FIELDS)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_sets_every_field_but_dataset_and_recipe(name: str) -> None:
    assert [*RECIPES[name].defaults] == [field for field in FIELDS if field not in {"dataset", "recipe"}]
    assert TrainConfig.from_recipe(name, dataset="d").recipe == name


def test_neutral_values_are_complete_and_do_not_contradict_each_other() -> None:
    config = TrainConfig(**{"dataset": "d", "recipe": "fast", **NEUTRAL})  # type: ignore[arg-type]
    assert config.to_dict() == {"dataset": "d", "recipe": "fast", **NEUTRAL}


def test_round_trip_through_json() -> None:
    config = TrainConfig.from_recipe("fast", dataset="d", epochs=3, learning_rate=0.5)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_overrides_replace_defaults_and_nothing_else() -> None:
    changed = TrainConfig.from_recipe("fast", dataset="d", epochs=3).to_dict()
    assert changed == {**TrainConfig.from_recipe("fast", dataset="d").to_dict(), "epochs": 3}


def test_missing_fields_take_the_recipes_defaults() -> None:
    assert TrainConfig.from_dict({"recipe": "fast", "dataset": "d"}) == TrainConfig.from_recipe("fast", dataset="d")


def test_whole_number_becomes_float() -> None:
    assert repr(TrainConfig.from_recipe("fast", dataset="d", learning_rate=1).learning_rate) == "1.0"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", 0, "epochs is 0; allowed is a whole number from 1 to 1000."),
        ("epochs", 2.0, "epochs is 2.0; allowed is a whole number from 1 to 1000."),
        ("epochs", True, "epochs is True; allowed is a whole number from 1 to 1000."),
        ("epochs", "8", "epochs is '8'; allowed is a whole number from 1 to 1000."),
        ("learning_rate", float("nan"), "learning_rate is nan; allowed is a number from 1e-05 to 10."),
        ("learning_rate", float("inf"), "learning_rate is inf; allowed is a number from 1e-05 to 10."),
        ("learning_rate", 11, "learning_rate is 11; allowed is a number from 1e-05 to 10."),
        ("flip", 1, "flip is 1; allowed is true or false."),
        ("precision", "int8", "precision is 'int8'; allowed is one of auto, float32, bfloat16, float16."),
        (
            "architecture",
            None,
            "architecture is missing; allowed is one of whitened_cnn, resnet18, resnet34, resnet50, efficientnet_b0, "
            "or one of 1363 other names.",
        ),
    ],
)
def test_refused_value_is_named_with_what_is_allowed(field: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_recipe("fast", dataset="d", **{field: value})
    assert (str(caught.value), caught.value.field) == (sentence, field)
    assert caught.value.value is value


def test_huge_number_is_refused_in_a_short_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^learning_rate is 10+\.\.\.; allowed") as caught:
        check_value("learning_rate", 10**400)
    assert len(str(caught.value)) < 200


def test_unknown_field_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^lerning_rate is not a training option; allowed are dataset, recipe,"):
        TrainConfig.from_recipe("fast", dataset="d", lerning_rate=0.1)


@pytest.mark.parametrize("mapping", [{}, {"dataset": "d"}, {"dataset": "d", "recipe": "slow"}, {"recipe": "fast"}])
def test_dataset_and_recipe_are_required(mapping: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^(recipe|dataset) is "):
        TrainConfig.from_dict(mapping)


def test_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="recipe is 'slow'; allowed is one of fast"):
        TrainConfig.from_recipe("slow", dataset="d")


def test_direct_construction_is_checked_too() -> None:
    config = TrainConfig.from_recipe("fast", dataset="d")
    with pytest.raises(ConfigError, match="epochs is -1"):
        dataclasses.replace(config, epochs=-1)


def test_every_field_without_choices_has_bounds() -> None:
    open_ended = [name for name, spec in FIELDS.items() if not spec.choices and spec.type != "bool"]
    assert [name for name in open_ended if FIELDS[name].minimum is None or FIELDS[name].maximum is None] == []


def test_allowed_text_is_described_by_its_length() -> None:
    assert str(describe_allowed(FIELDS["dataset"])) == "text of 1 to 4096 characters"

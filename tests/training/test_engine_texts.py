"""What the engine refuses, said in the reader's language with the page's own labels."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.utils.translation import override

from training.engine import architectures, config, contradictions
from training.engine.config import TrainConfig
from training.engine.exceptions import ConfigError, allow
from training.engine.fields import FIELDS
from training.engine_texts import MARKED, explain_refusal, translate_allowed


def templates_of(module: object) -> list[ast.expr]:
    """Return what a module hands to `allow`; a name stands for every text that is assigned to it there."""
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "allow"]
    assigned = [
        value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "template"
        for value in ([node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value])
    ]
    return [call.args[0] for call in calls if not isinstance(call.args[0], ast.Name)] + assigned


@pytest.mark.parametrize("module", [config, contradictions, architectures])
def test_every_refusal_of_settings_can_be_translated(module: object) -> None:
    templates = templates_of(module)
    assert len(templates) > 5
    assert [ast.dump(t) for t in templates if not (isinstance(t, ast.Constant) and t.value in MARKED)] == []


def refuse(**settings: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_recipe("fast", dataset="d", **settings)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "english", "french"),
    [
        (
            {"epochs": 0},
            "Epochs is “0”; allowed is a whole number from 1 to 1000.",
            "Époques vaut «\xa00\xa0»\u202f; est permis\xa0: un nombre entier de 1 à 1000.",
        ),
        (
            {"epochs": 4, "warmup_epochs": 4},
            "Warm-up is “4”; allowed is less than “Epochs”, 4.",
            "Échauffement vaut «\xa04\xa0»\u202f; est permis\xa0: moins que «\xa0Époques\xa0», soit 4.",
        ),
        (
            {"schedule": "one_cycle", "plateau_patience": 3},
            "Plateau patience is “3”; allowed is only 0 with “Schedule” one_cycle.",
            "Patience du plateau vaut «\xa03\xa0»\u202f; est permis\xa0: seulement 0 avec "
            "«\xa0Programme\xa0» one_cycle.",
        ),
        (
            {"architecture": "resnet18", "width_multiplier": 1, "optimizer": "adamw", "pretrained": "file"},
            "Weights file is missing; allowed is the path of a .safetensors file where “Pretrained weights” is file.",
            "Fichier de poids manque\u202f; est permis\xa0: le chemin d’un fichier .safetensors quand "
            "«\xa0Poids préentraînés\xa0» vaut file.",
        ),
    ],
)
def test_refusals_are_told_in_the_readers_language(settings: dict[str, object], english: str, french: str) -> None:
    error = refuse(**settings)
    assert explain_refusal(error) == english
    with override("fr"):
        assert explain_refusal(error) == french


def test_what_is_typed_is_shown_as_it_is_but_not_at_any_length() -> None:
    error = refuse(epochs=0)
    assert explain_refusal(error, typed="zero").startswith("Epochs is “zero”;")
    assert f"“{'9' * 39}…”" in explain_refusal(error, typed="9" * 41)


def test_an_unknown_option_is_named() -> None:
    known = ", ".join(FIELDS)
    assert explain_refusal(refuse(speed=1)) == f"speed is not a training option; allowed are {known}."
    with override("fr"):
        assert (
            explain_refusal(refuse(speed=1))
            == f"speed n’est pas une option d’entraînement\u202f; existent\xa0: {known}."
        )


def test_a_refusal_of_another_kind_is_shown_as_it_is() -> None:
    assert explain_refusal(ConfigError("So not.", field="seed", value=1)) == "So not."


def test_small_numbers_are_shown_without_exponents() -> None:
    assert translate_allowed(allow("a number from %(minimum)s to %(maximum)s", minimum=1e-5, maximum=10)) == (
        "a number from 0.00001 to 10"
    )

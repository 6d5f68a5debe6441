"""Sentences that were made in English are found again and said in the reader's language."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.utils.translation import override

from training import verdicts
from training.archive_texts import describe_refusal
from training.engine import onnx_graph, package_schema
from training.engine.archive_rules import ArchiveError
from training.engine.exceptions import PackageError
from training.failure_texts import FAILURES, explain_failure
from training.package_texts import REFUSALS, explain_package_refusal
from training.sentences import Sentences
from training.services import packages

FILLED = "7"


def _text_of(node: ast.expr) -> str:
    """Return a text in which every place is filled with the same."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else FILLED


def said_by(module: object) -> list[str]:
    """Return what a module says in a PackageError, `_refuse` and a Verdict, with its places filled."""
    said = []
    for node in ast.walk(ast.parse(Path(str(getattr(module, "__file__", ""))).read_text())):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if not isinstance(node, ast.Call):
            continue
        if name == "PackageError" and "{why}" not in ast.unparse(node):  # `_refuse` itself, whose callers are looked at
            said.append(_text_of(node.args[0]))
        elif name == "_refuse":
            said.append(f"The manifest's {FILLED} {_text_of(node.args[1])}.")
        elif name == "Verdict" and isinstance(node.args[1], ast.Constant | ast.JoinedStr):
            said.append(_text_of(node.args[1]))
    return said


@pytest.mark.parametrize("module", [package_schema, onnx_graph, packages])
def test_every_refusal_of_a_package_can_be_said_in_french(module: object) -> None:
    said = said_by(module)
    assert len(said) > 2
    with override("fr"):
        assert [text for text in said if REFUSALS.translate(text) == text] == []


def test_every_end_of_an_engine_can_be_said_in_french() -> None:
    said = said_by(verdicts)
    assert len(said) > 4
    with override("fr"):
        assert [text for text in said if FAILURES.translate(text) == text] == []


def test_places_are_filled_with_what_stood_there() -> None:
    error = PackageError("The manifest's metrics.per_class[3].f1 is no number from 0 to 1.")
    assert explain_package_refusal(error) == str(error)
    with override("fr"):
        told = explain_package_refusal(error)
    assert told == "«\xa0metrics.per_class[3].f1\xa0» du manifeste n’est pas un nombre de 0 à 1."


def test_a_name_may_say_anything() -> None:
    error = PackageError("It holds '%(x)s\n%s'; a model package holds a, b, in one folder.")
    with override("fr"):
        told = explain_package_refusal(error)
    assert told == "Il contient «\xa0%(x)s\n%s\xa0»\u202f; un paquet de modèle contient a, b, dans un seul dossier."


def test_an_archive_is_refused_in_french() -> None:
    with override("fr"):
        assert explain_package_refusal(ArchiveError("The archive is empty.")) == "L’archive est vide."


def test_what_was_stored_of_an_archive_is_found_again() -> None:
    error = ArchiveError("'../a.png' climbs out of its folder", entry="../a.png")
    with override("en"):
        stored = describe_refusal(error)[1]
    with override("fr"):
        assert explain_failure(stored) == describe_refusal(error)[1] != stored


@pytest.mark.parametrize("text", ["", "Something that nobody listed.", "The disk is full. Twice."])
def test_what_is_not_known_stays(text: str) -> None:
    with override("fr"):
        assert explain_failure(text) == text


def test_one_sentence_is_not_taken_for_another() -> None:
    sentences = Sentences("It lacks %(names)s.", "It lacks nothing")
    assert sentences.translate("It lacks ") == "It lacks "

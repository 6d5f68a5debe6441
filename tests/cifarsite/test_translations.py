"""Everything that people read exists in French: no text is unmarked, missing, doubtful or badly set."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation.template import templatize

from training.class_names import display_name
from training.engine.constants import CIFAR10_CLASS_KEYS

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
MODULES = sorted(
    path
    for application in ("cifarsite", "classifier", "training")
    for path in (ROOT / application).rglob("*.py")
    if "migrations" not in path.parts and "engine" not in path.parts
)
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext"}
NO_WORDS = {
    "cifarsite",
    "AUROC",
    "CIFAR",
    "CSV",
    "English",
    "Français",
    "F",
    "j",  # keys
    "k",
    "x",
    "MLflow",
    "STL",
    "px",
    "UTC",
    "v",
    "nbsp",
    "rsaquo",
    "middot",
}
"""What may stand in a template without being marked: it is the same in every language."""
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""


def entries() -> dict[str, list[str]]:
    """Return the catalogue's texts: msgid, after its context if it has one → its translations (two of a plural)."""
    found: dict[str, list[str]] = {}
    for block in CATALOGUE.read_text().split("\n\n"):
        msgid = _joined(block, "msgid")
        if msgid:
            key = _key(_joined(block, "msgctxt"), msgid)
            found[key] = [text for name in ("msgstr", r"msgstr\[0\]", r"msgstr\[1\]") if (text := _joined(block, name))]
    return found


def _key(context: str, msgid: str) -> str:
    return f"{context}\x04{msgid}" if context else msgid  # as gettext has it


def _joined(block: str, key: str) -> str:
    match = re.search(rf'^{key} ((?:".*"\n?)+)', block, re.M)
    return "".join(ast.literal_eval(line) for line in match[1].splitlines()) if match else ""


def marked_in_python() -> Iterator[tuple[Path, str]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
                continue
            texts = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if node.func.id.startswith("pgettext") and len(texts) > 1:
                yield path, _key(texts[0], texts[1])
            elif texts:
                yield path, texts[0]


def marked_in_templates() -> Iterator[tuple[Path, str]]:
    for path in TEMPLATES:
        for context, quoted in re.findall(
            rf"""\b(?:n?gettext\(|_\(|pgettext\(\s*({_QUOTED}),)\s*u?({_QUOTED})""", _python_of(path)
        ):
            yield path, _key(ast.literal_eval(context) if context else "", ast.literal_eval(quoted))


def _python_of(template: Path) -> str:
    return templatize(template.read_text(), origin=str(template))


def test_every_marked_text_is_in_the_catalogue() -> None:
    known = entries()
    marked = [*marked_in_python(), *marked_in_templates()]
    assert len(marked) > 200
    missing = {(str(path.relative_to(ROOT)), text) for path, text in marked if text not in known}
    assert missing == set(), "run makemessages and translate"


def test_every_text_is_translated_and_none_is_doubtful() -> None:
    assert [msgid for msgid, texts in entries().items() if not texts] == []
    assert "fuzzy" not in CATALOGUE.read_text()
    assert "\n#~" not in CATALOGUE.read_text()


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for msgid, texts in entries().items():
        if len(texts) == 1:
            assert compiled.gettext(msgid) == texts[0], "run msgfmt"


def test_placeholders_survive_translation() -> None:
    for msgid, texts in entries().items():
        wanted = set(re.findall(r"%\(\w+\)[sd]", msgid))
        for text in texts:
            assert set(re.findall(r"%\(\w+\)[sd]", text)) <= wanted or len(texts) > 1, msgid


def test_french_is_well_set() -> None:
    for texts in entries().values():
        for text in texts:
            plain = re.sub(r"<[^>]+>|%\(\w+\)[sd]", "x", text)
            assert "'" not in plain, text
            assert not re.search(r"[^\N{NARROW NO-BREAK SPACE}][;!?]", plain.replace("…", "")), text
            assert not re.search(r"[^\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]:(?!\w)", plain), text
            assert not re.search(r"«(?!\N{NO-BREAK SPACE})|(?<!\N{NO-BREAK SPACE})»", plain), text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_templates_hold_no_unmarked_words(template: Path) -> None:
    source = template.read_text()
    source = re.sub(r"{%\s*comment.*?endcomment\s*%}|{#.*?#}|<!--.*?-->", " ", source, flags=re.S)
    source = re.sub(r"{%\s*blocktrans(?:late)?\b.*?endblocktrans(?:late)?\s*%}", " ", source, flags=re.S)
    source = re.sub(r"{%.*?%}|{{.*?}}", " ", source, flags=re.S)
    read_aloud = " ".join(re.findall(r'\s(?:title|alt|placeholder|aria-label|data-text-\w+)="([^"]*)"', source))
    visible = re.sub(r"<(script|style|pre|code)\b.*?</\1>", " ", source, flags=re.S)
    visible = re.sub(r"<[^>]*>", " ", visible)
    words = set(re.findall(r"[^\W\d_]{1,}", f"{visible} {read_aloud}"))
    assert words - NO_WORDS == set()


def test_the_ten_classes_have_their_names() -> None:
    with translation.override("fr"):
        names = [display_name(key) for key in CIFAR10_CLASS_KEYS]
    assert names == [
        "Avion",
        "Automobile",
        "Oiseau",
        "Chat",
        "Cerf",
        "Chien",
        "Grenouille",
        "Cheval",
        "Navire",
        "Camion",
    ]
    with translation.override("en"):
        assert [display_name(key) for key in CIFAR10_CLASS_KEYS] == list(CIFAR10_CLASS_KEYS)

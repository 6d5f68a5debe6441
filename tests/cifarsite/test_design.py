"""The design system keeps its promises: contrast, no inline code, vendored files as their lock says."""

from __future__ import annotations

import json
import math
import operator
import re
from itertools import combinations
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
VENDOR = ROOT / "static" / "vendor"
SHEETS = sorted((ROOT / "static" / "css").glob("*.css"))
CSS = (ROOT / "static" / "css" / "theme.css").read_text()

TEXT_CONTRAST = 4.5
CONTROL_CONTRAST = 3.0
LINE_DISTANCE = 25.0  # ΔE*ab; ten is a difference that is seen at a glance
SIGHTS = {  # Source: Machado, Oliveira and Fernandes 2009, severity 1.0, on linear sRGB
    "trichromacy": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
TEXT_ON_GROUND = [
    *((text, ground) for text in ("ink", "ink-soft", "accent", "accent-deep") for ground in ("paper", "surface")),
    ("ink", "sunken"),
    ("ink-soft", "sunken"),
    ("on-accent", "accent"),
    ("on-accent", "accent-deep"),
    ("accent-deep", "accent-soft"),
    ("ink", "accent-soft"),
    ("ochre", "ochre-soft"),
    ("ink", "ochre-soft"),
    ("brick", "brick-soft"),
    ("ink", "brick-soft"),
    ("brick", "surface"),
    ("surface", "brick"),
]
EDGE_ON_GROUND = [
    ("line-strong", "surface"),
    ("line-strong", "paper"),
    ("bar", "sunken"),
    *((f"series-{number}", "surface") for number in range(1, 7)),
]


def tokens(theme: str) -> dict[str, str]:
    """Return the colours that theme.css declares for a theme."""
    [block] = re.findall(rf'\[data-bs-theme="{theme}"\] {{\n  --paper(.*?)\n}}', CSS, re.S)
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", f"  --paper{block}"))


def luminance(colour: str) -> float:
    """Return the relative luminance. Source: WCAG 2.2, definition of "relative luminance"."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "ground", "least"),
    [
        *((front, ground, TEXT_CONTRAST) for front, ground in TEXT_ON_GROUND),
        *((front, ground, CONTROL_CONTRAST) for front, ground in EDGE_ON_GROUND),
    ],
)
def test_colours_can_be_told_apart(theme: str, front: str, ground: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[front], colours[ground]) >= least


def simulate(colour: str, matrix: list[list[float]]) -> list[float]:
    """Return L*, a*, b* of a colour as a colour-blind person sees it."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    red, green, blue = (min(1.0, max(0.0, sum(map(operator.mul, row, linear)))) for row in matrix)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_six_lines_of_a_chart_differ_for_every_eye(theme: str, sight: str) -> None:
    colours = tokens(theme)
    seen = [simulate(colours[f"series-{number}"], SIGHTS[sight]) for number in range(1, 7)]
    assert min(math.dist(one, other) for one, other in combinations(seen, 2)) > LINE_DISTANCE


def test_both_themes_declare_the_same_tokens() -> None:
    assert tokens("light").keys() == tokens("dark").keys()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_templates_hold_no_inline_code_and_no_other_host(template: Path) -> None:
    source = template.read_text()
    assert not re.search(r"\sstyle\s*=", source)
    assert not re.search(r"<style\b", source)
    assert not re.search(r"\son[a-z]+\s*=", source)
    assert not re.search(r"\b(?:hx-on|hx-vals=['\"]js:)", source)
    assert not re.search(r"<script(?![^>]*\b(?:src|type=\"application/json\"))[^>]*>", source)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", source)


def test_every_class_that_is_styled_is_used() -> None:
    folders = {
        "templates": "*.html",
        "static/js": "*.js",
        "cifarsite": "*.py",
        "classifier": "*.py",
        "training": "*.py",
    }
    users = " ".join(path.read_text() for name, kind in folders.items() for path in (ROOT / name).rglob(kind))
    words = set(re.findall(r"[\w-]+", users))
    styled = set()
    for sheet in SHEETS:
        rules = re.sub(r"/\*.*?\*/|{[^{}]*}", " ", sheet.read_text(), flags=re.S)
        styled |= set(re.findall(r"\.([a-z][\w-]*)", rules))
    composed = {
        name for name in styled if re.fullmatch(r"(?:pixel|right|wrong|stroke)-\w|dots-\d+", name)
    }  # in templates, by letter
    assert styled - composed - words == set()


def test_every_sheet_is_linked() -> None:
    linked = {name for path in TEMPLATES for name in re.findall(r'{% static "css/([\w-]+\.css)" %}', path.read_text())}
    assert {sheet.name for sheet in SHEETS} == linked


def test_the_sprite_holds_the_icons_that_templates_name_and_no_other() -> None:
    named = set()
    for template in TEMPLATES:
        for tag in re.findall(r"{%\s*icon\s[^%]*%}", template.read_text()):
            named |= set(re.findall(r'"([a-z0-9-]+)"', tag))
    held = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "icons" / "sprite.svg").read_text()))
    assert held == named, "run `make vendor`"


def test_vendored_files_are_those_of_the_lock() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    held = json.loads((VENDOR / "versions.json").read_text())
    assert held
    for name, version in held.items():
        assert lock[f"node_modules/{name}"]["version"] == version


def test_the_lock_names_no_registry_but_the_public_one() -> None:
    addresses = re.findall(r'"resolved": "([^"]+)"', (ROOT / "package-lock.json").read_text())
    assert [address for address in addresses if not address.startswith("https://registry.npmjs.org/")] == []


def test_vendored_files_carry_their_licence_and_no_source_map() -> None:
    for folder in VENDOR.iterdir():
        if folder.is_dir():
            assert (folder / "LICENSE").stat().st_size > 0
    for path in VENDOR.rglob("*"):
        if path.suffix in {".js", ".css"}:
            assert "sourceMappingURL" not in path.read_text()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_static_files_that_templates_name_exist(template: Path) -> None:
    for name in re.findall(r'{% static "([^"]+)" %}', template.read_text()):
        assert finders.find(name), name

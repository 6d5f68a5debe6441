"""The pictures of the site: small enough to be kept, and all there where a text shows one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "screenshots"
MOST_BYTES = 3_000_000


def test_together_they_are_small() -> None:
    assert 0 < sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


def test_what_texts_show_is_there() -> None:
    for text in ROOT.glob("*.md"):
        for name in re.findall(r"\]\((docs/screenshots/[^)]+)\)", text.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{text.name}: {name}"

"""The notebooks are kept as they are read: without results, with stable ids, on the engine's own doors alone.

`make notebooks` executes them.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OURS = {"cifarsite", "classifier", "tests", "tools", "training"}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code_of(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def test_it_keeps_no_results(path: Path) -> None:
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]
        assert cell["metadata"] == {}


def test_it_is_clean_json_with_ids_of_its_own(path: Path) -> None:
    notebook = read(path)
    assert path.read_text(encoding="utf-8") == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("-", "").isalpha() for name in ids)


def test_every_step_is_explained_before_it_is_taken(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in read(path)["cells"]]
    assert kinds[0] == "markdown"
    assert all("code code code" not in " ".join(kinds[start : start + 3]) for start in range(len(kinds)))


def test_it_uses_of_this_project_the_engine_alone(path: Path) -> None:
    imported = set()
    for source in code_of(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
                assert [name.name for name in node.names if name.name.startswith("_")] == []
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    own = {name for name in imported if name.partition(".")[0] in OURS}
    assert own
    assert all(name.startswith("training.engine.") for name in own)

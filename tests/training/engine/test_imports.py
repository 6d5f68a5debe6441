"""Who imports whom: the engine knows no web site, and its light modules know no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def modules_after(*names: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after importing modules."""
    code = f"import sys, {', '.join(names)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_engine_imports_no_part_of_the_site() -> None:
    engine = ROOT / "training" / "engine"
    names = [
        f"training.engine.{path.stem}" for path in engine.glob("*.py") if path.stem not in {"__init__", "__main__"}
    ]
    loaded = modules_after("training.engine.__main__", *names)
    assert {"torch", "openvino"} <= loaded
    assert not {"django", "celery", "mlflow", "redis", "psycopg", "rest_framework", "kombu"} & loaded


def test_light_modules_import_no_torch() -> None:
    light = (
        "architectures",
        "config",
        "constants",
        "contradictions",
        "events",
        "exceptions",
        "fields",
        "package",
        "recipes",
        "fit_command",
        "__main__",
        "data_checks",
    )
    loaded = modules_after(*(f"training.engine.{name}" for name in light))
    assert not {"torch", "onnx", "openvino", "safetensors"} & loaded

"""Proofs, in fresh interpreters, of what the import contracts promise: nothing heavy or foreign is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = [
    "django",
    "celery",
    "kombu",
    "redis",
    "psycopg",
    "mlflow",
    "rest_framework",
    "allauth",
    "cifarsite",
    "classifier",
]
HEAVY = ["torch", "torchvision", "onnx", "onnxscript", "mlflow", "sqlalchemy"]
ENGINE = ROOT / "training" / "engine"
SHARED = ["architectures", "config", "constants", "events", "exceptions", "package", "photograph", "recipes"]


def loaded_by(code: str) -> set[str]:
    """Run `code` in a fresh interpreter and return the top-level packages it has loaded."""
    report = "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_the_whole_urlconf_loads_nothing_heavy() -> None:
    code = (
        "from cifarsite.wsgi import application; from django.urls import get_resolver;"
        "get_resolver().url_patterns; get_resolver().resolve_error_handler(500)"
    )
    loaded = loaded_by(code)

    assert {"django", "classifier", "training"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_management_command_loads_nothing_heavy() -> None:
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'cifarsite.settings'; import django; django.setup();"
        "from django.core.management import get_commands, load_command_class;"
        "[load_command_class(app, name) for name, app in get_commands().items()"
        " if app in {'cifarsite', 'classifier', 'training'}]"
    )

    assert loaded_by(code).isdisjoint(HEAVY)


def test_a_celery_worker_starts_without_torch() -> None:
    code = "from cifarsite.celery import app; app.loader.import_default_modules(); assert 'training.sweep' in app.tasks"

    assert loaded_by(code).isdisjoint(HEAVY)


@pytest.mark.parametrize("module", SHARED)
def test_the_shared_part_of_the_engine_loads_no_torch(module: str) -> None:
    loaded = loaded_by(f"import training.engine.{module}")

    assert loaded.isdisjoint(HEAVY)
    assert loaded.isdisjoint(SITE)


def test_the_whole_engine_loads_no_site() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ENGINE.rglob("*.py")
        if path.stem != "__main__"
    ]
    loaded = loaded_by(f"import {', '.join(name.removesuffix('.__init__') for name in modules)}")

    assert "torch" in loaded
    assert loaded.isdisjoint(SITE)


def test_the_engine_runs_as_a_program_without_the_site() -> None:
    code = """import contextlib, runpy, sys
sys.argv = ["engine", "--help"]
with contextlib.suppress(SystemExit):
    runpy.run_module("training.engine", run_name="__main__")
pass"""

    assert loaded_by(code).isdisjoint(SITE)

"""Celery's application of workers that run the stand-in engine, or of one whose clock is wrong.

A run's seed says how its engine behaves: the last two digits are the number of a mode of `tests.stub_engine`, or `REAL`
for the real engine. STUB_CLOCK_SECONDS is how far the worker's clock is off.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from tests import shifted_clock

if "STUB_CLOCK_SECONDS" in os.environ:
    shifted_clock.shift(float(os.environ["STUB_CLOCK_SECONDS"]))

import django

from cifarsite.celery import app
from tests.stub_engine import MODES

__all__ = ["app"]

REAL: Final = 99
_STUB: Final = Path(__file__).with_name("stub_engine.py")


def choose_engine(*arguments: str) -> list[str]:
    """Return the command line of the engine that a job wants."""
    from training.processes import engine_command

    mode = "ok"
    if arguments[0] == "fit":
        config = Path(arguments[arguments.index("--config") + 1])
        number = json.loads(config.read_text())["seed"] % 100
        if number == REAL:
            return engine_command(*arguments)
        mode = MODES[number]
    return [shutil.which("env") or "env", f"STUB_ENGINE={mode}", sys.executable, str(_STUB), *arguments]


def _replace_engine() -> None:
    from training import import_work, run_work

    run_work.engine_command = choose_engine  # type: ignore[attr-defined]
    import_work.engine_command = choose_engine  # type: ignore[attr-defined]


django.setup()
_replace_engine()

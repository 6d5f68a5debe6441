"""What `make` says when it cannot do as asked. Environments are stand-ins: nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment_folder(tmp_path: Path) -> Path:
    """A folder that looks like `.venv` after `make up`, with this interpreter."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "requirements" / "worker.txt", tmp_path / "venv" / "worker.lock")
    return tmp_path / "venv"


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("off", "No runs are recorded: MLFLOW_TRACKING_URI is off."),
        ("http://mlflow:5000", "Runs are recorded by a server: open http://mlflow:5000 instead."),
    ],
)
def test_mlflow_opens_no_store_but_the_sites_own(
    environment_folder: Path, tmp_path: Path, uri: str, sentence: str
) -> None:
    folders = [f"VENV={environment_folder}", f"MLFLOW_VENV={tmp_path / 'mlflow'}"]
    result = subprocess.run(
        ["make", "--no-print-directory", "mlflow", *folders],  # noqa: S607  # the machine's own
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert result.stderr.splitlines()[0] == sentence
    assert result.stdout == ""
    assert not (tmp_path / "mlflow").exists()

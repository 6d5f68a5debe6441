"""The command `cifarsite-client`, against the real web server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_model import picture, register_version
from tests.web_server import Web
from training.choices import ModelState

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, url: str, token: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT / "client"), "CIFARSITE_URL": url, "CIFARSITE_TOKEN": token}
    command = [sys.executable, "-m", "cifarsite_client", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
def test_answers_line_by_line(start_web: Callable[[], Web], tmp_path: Path) -> None:
    version = register_version(state=ModelState.CHAMPION)
    web = start_web()
    web.warm_up(version)
    url = f"http://127.0.0.1:{web.port}"
    (tmp_path / "a.png").write_bytes(picture(0))
    (tmp_path / "b.png").write_bytes(b"text")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]

    done = run("predict", *files, url=url, token=web.token)
    first, second = done.stdout.splitlines()
    assert done.returncode == 1
    assert first.startswith(f"{files[0]}\tairplane\t")
    assert second.startswith(f"{files[1]}\t–\t")

    done = run("predict", files[0], "--json", url=url, token=web.token)
    assert done.returncode == 0
    body = json.loads(done.stdout)
    assert (body["file"], body["class_key"], body["model_version"]) == (files[0], "airplane", str(version))

    refused = run("predict", files[0], url=url, token="wrong")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("cifarsite-client: ")


def test_names_a_file_that_is_not_there() -> None:
    done = run("predict", "none.png", url="http://127.0.0.1:1", token="x")

    assert done.returncode == 2
    assert done.stderr == "cifarsite-client: none.png cannot be read: No such file or directory.\n"


def test_wants_a_command() -> None:
    done = run(url="http://127.0.0.1:1", token="x")

    assert done.returncode == 2
    assert "COMMAND" in done.stderr

"""The dataset command line: one JSON event a line, exit codes, and nothing left behind when it is stopped."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.engine.dataset_commands import add_dataset_commands
from training.engine.exceptions import NetworkError

ROOT = Path(__file__).parents[3]
PROGRAM = """
import argparse, sys
from training.engine.dataset_commands import add_dataset_commands
parser = argparse.ArgumentParser()
add_dataset_commands(parser.add_subparsers(required=True))
arguments = parser.parse_args()
sys.exit(arguments.run(arguments))
"""


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_dataset_commands(parser.add_subparsers(required=True))
    parsed = parser.parse_args([str(argument) for argument in arguments])
    code: int = parsed.run(parsed)
    return code


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def write_tree(folder: Path, *, images: int = 1) -> Path:
    for split in ("train", "test"):
        for color in ("red", "blue"):
            (folder / split / color).mkdir(parents=True)
            for number in range(images):
                Image.new("RGB", (32, 32), color).save(folder / split / color / f"{number}.png")
    return folder


def test_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = write_tree(tmp_path / "source"), tmp_path / "output"
    assert run("import", "--name", "two", "--source", source, "--output", output, "--notes", "n") == 0
    *progress, last = events(capsys)
    assert [event["event"] for event in progress] == ["progress"] * 4
    assert progress[1] == {"event": "progress", "done": 4, "total": 4, "message": "Writing the dataset"}
    assert progress[3] == {"event": "progress", "done": 4, "total": 4, "message": "Checking the images"}
    assert last == {"event": "finished", "dataset": json.loads((output / "manifest.json").read_text())}
    assert (last["dataset"]["name"], last["dataset"]["notes"]) == ("two", "n")


def test_import_stops_at_an_unreadable_image_or_skips_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = write_tree(tmp_path / "source"), tmp_path / "output"
    (source / "train/red/bad.png").write_text("hello")
    assert run("import", "--name", "two", "--source", source, "--output", output) == 1
    sentence = "Entry 'train/red/bad.png' is not a JPEG, PNG, WEBP, GIF or BMP image."
    assert events(capsys)[-1] == {"event": "failed", "reason": "bad_dataset", "detail": sentence}
    assert not output.exists()
    assert run("import", "--name", "two", "--source", source, "--output", output, "--skip-unreadable") == 0
    assert [item["entry"] for item in events(capsys)[-1]["dataset"]["skipped"]] == ["train/red/bad.png"]


def test_import_that_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_tree(tmp_path / "source")
    (tmp_path / "file").touch()
    assert run("import", "--name", "two", "--source", source, "--output", tmp_path / "file/output") == 1
    detail = "The dataset could not be written: File exists."
    assert events(capsys) == [{"event": "failed", "reason": "error", "detail": detail}]


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = ("--train-per-class", "2", "--test-per-class", "1")
    assert run("demo", "--output", tmp_path / "demo", "--seed", "3", *counts) == 0
    assert events(capsys)[-1]["dataset"]["splits"]["train"]["count"] == 20


@pytest.mark.parametrize("wrong", [("--train-per-class", "0"), ("--test-per-class", "x"), ("--seed", "-1")])
def test_demo_with_wrong_counts(tmp_path: Path, wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("demo", "--output", tmp_path / "demo", *wrong)
    assert caught.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_cifar10_without_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_network(*_arguments: object, **_options: object) -> None:
        raise NetworkError("No network.")

    monkeypatch.setattr("training.engine.dataset_commands.download_cifar10", find_no_network)
    assert run("cifar10", "--output", tmp_path / "output", "--download-root", tmp_path) == 1
    assert events(capsys) == [
        {"event": "progress", "done": 0, "total": 1, "message": "Downloading CIFAR-10"},
        {"event": "failed", "reason": "no_network", "detail": "No network."},
    ]


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("demo", "--output", tmp_path / "demo", "--train-per-class", "1", "--test-per-class", "1")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_import_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, "demo", "--output", str(tmp_path / "output")]
    command += ["--train-per-class", "100000", "--test-per-class", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "progress"
        assert any(path.name.startswith(".output.draft-") for path in tmp_path.iterdir())
        os.kill(process.pid, number)
        *_, last = process.stdout
        assert process.wait(timeout=20) == 75
    assert json.loads(last) == {"event": "stopped", "step": 0, "checkpoint": None}
    assert list(tmp_path.iterdir()) == []

"""`predict`: the pictures of an archive answered by a package, in order, with the faults of bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.classifier.archive_makers import BROKEN, pictures, tar_of, zip_of
from tests.fixtures import ROOT
from training.engine.constants import EXIT_FAILED, EXIT_FINISHED
from training.engine.data import Split
from training.engine.device import reference_device
from training.engine.evaluate import predict_logits
from training.engine.networks.stored import load_network
from training.engine.package import verify_package
from training.engine.photograph import decode_photograph, to_rgb_square


def run(package: Path, archive: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "training.engine", "predict", f"--package={package}", f"--archive={archive}"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def answers_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer for event in events if event["event"] == "answers" for answer in event["answers"]]


def test_answers_are_those_of_the_network(tiny_package: Path, tmp_path: Path) -> None:
    files = {**pictures(12), "bad.png": BROKEN, "labels.csv": b"00000.png,cat\n", "notes.txt": b"text"}
    (tmp_path / "a.zip").write_bytes(zip_of(files))
    code, events = run(tiny_package, tmp_path / "a.zip", "--threads=1")
    assert (code, events[-1]["event"]) == (EXIT_FINISHED, "finished")
    answers = answers_of(events)
    assert [answer["index"] for answer in answers] == list(range(14))
    assert [answer.get("error", "") for answer in answers] == [""] * 12 + ["broken", "not_an_image"]
    package = verify_package(tiny_package)
    images = [to_rgb_square(decode_photograph(files[f"{number:05}.png"]).image) for number in range(12)]
    split = Split(images=torch.stack([torch.from_numpy(image) for image in images]), labels=torch.zeros(12).long())
    logits = predict_logits(load_network(package), split, device=reference_device())
    shares = (logits.double() / package.temperature).softmax(dim=1)
    for answer, row in zip(answers, shares, strict=False):
        assert answer["probabilities"] == pytest.approx(row.tolist(), abs=1e-5)
        assert answer["class_id"] == int(row.argmax())


def test_it_goes_on_after_what_is_skipped(tiny_package: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(pictures(5)))
    code, events = run(tiny_package, tmp_path / "a.tar", "--skip=3")
    assert code == EXIT_FINISHED
    assert [answer["name"] for answer in answers_of(events)] == ["00003.png", "00004.png"]


def test_an_archive_that_is_refused(tiny_package: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of({"../evil.png": b"x"}))
    code, events = run(tiny_package, tmp_path / "a.zip")
    assert code == EXIT_FAILED
    assert events == [
        {
            "event": "failed",
            "reason": "bad_archive",
            "detail": "Entry '../evil.png' climbs out of its folder with '..'.",
        }
    ]

"""One training in a fresh process, as `bench.train` and `bench.train_cuda` measure it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.engine.config import TrainConfig
from training.engine.constants import PUBLISH_STAGES
from training.engine.events import EpochEndEvent, parse_line
from training.engine.package import verify_package

ROOT = Path(__file__).parents[1]
TESTED = PUBLISH_STAGES[2]
"""What an engine announces when the test evaluation is over."""

MARK = 0.8709
"""Test accuracy of the documented predecessor."""


@dataclass(frozen=True)
class Measured:
    """One seed.

    Attributes:
        seed: The seed.
        seconds: From the start of the process to the end of the test evaluation.
        test_accuracy: Fraction, of the stored weights, without test-time augmentation.
        epoch_seconds: Wall time of each epoch.
        validation_epoch: First epoch whose validation accuracy reached the mark.
        manifest: The package's manifest.
    """

    seed: int
    seconds: float
    test_accuracy: float
    epoch_seconds: list[float]
    validation_epoch: int | None
    manifest: dict[str, Any]


def measure(
    config: TrainConfig, *, workdir: Path, threads: int | None = None, env: Mapping[str, str] | None = None
) -> Measured:
    """Train once in a fresh process, to whose environment `env` is added.

    Raises:
        RuntimeError: The run did not finish.
    """
    workdir.mkdir(parents=True)
    path = workdir / "run.json"
    path.write_text(json.dumps(config.to_dict()), encoding="utf-8")
    command = [sys.executable, "-m", "training.engine", "fit", "--config", str(path), "--workdir", str(workdir)]
    command += ["--threads", str(threads)] if threads else []
    started = time.perf_counter()
    seconds, package = 0.0, None
    epochs: list[EpochEndEvent] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **(env or {})}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = parse_line(line)
            if event is None:
                continue
            if event["event"] == "epoch_end":
                epochs.append(event)
            elif event["event"] == "progress" and event["message"] == TESTED and not seconds:
                seconds = time.perf_counter() - started
            elif event["event"] == "finished":
                package = workdir / str(event["package"])
            elif event["event"] == "failed":
                print(event["detail"], file=sys.stderr)
    if package is None:
        raise RuntimeError(f"The run ended with exit code {process.returncode} and no package.")
    manifest = verify_package(package)
    reached = (e["epoch"] for e in epochs if e["validation_accuracy"] is not None and e["validation_accuracy"] >= MARK)
    return Measured(
        seed=config.seed,
        seconds=seconds,
        test_accuracy=manifest.accuracy,
        epoch_seconds=[event["seconds"] for event in epochs],
        validation_epoch=next(reached, None),
        manifest=dict(manifest.raw),
    )


@dataclass(frozen=True)
class Plain:
    """One run of the plain port.

    Attributes:
        seconds: From the start of the process to its end.
        test_accuracies: After each epoch.
    """

    seconds: float
    test_accuracies: list[float]


def measure_plain(dataset: Path, *, epochs: int, seed: int, env: Mapping[str, str] | None = None) -> Plain:
    """Run the plain port once in a fresh process, to whose environment `env` is added."""
    command = [sys.executable, "-m", "bench.plain", "--dataset", str(dataset), "--epochs", str(epochs)]
    started = time.perf_counter()
    command += ["--seed", str(seed)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env={**os.environ, **(env or {})}
    )
    return Plain(time.perf_counter() - started, json.loads(done.stdout)["test_accuracies"])

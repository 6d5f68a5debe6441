"""How long training takes on a GPU: to 94 % and to 96 % with the schedules of airbench, mean over seeds.

Those marks are airbench's, on lossless images; recipes `fast` and `accurate`, which are made for small CPUs, are
widened and lengthened to its networks and schedules. Beside each the plain port (`bench/plain.py`) runs for 8 and 40
epochs; on other images, such as JPEG-compressed ones, its mean accuracy is the mark. Every run is a fresh process and
counts from its start; `training_seconds` are the epochs alone, their validation and checkpoints included. One run
before the first seed is not counted: it fills the compiler's cache. Accuracies are without test-time augmentation.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from bench.training_runs import Measured, Plain, measure, measure_plain
from training.engine.config import TrainConfig


@dataclass(frozen=True)
class Goal:
    """What a recipe is to reach.

    Attributes:
        recipe: The recipe that it starts from.
        settings: What a GPU has more of: width, epochs, batch and whole images.
        accuracy: Test accuracy on lossless images (Jordan 2024, airbench94 and airbench96).
        plain_epochs: Epochs of the plain port whose accuracy is the mark on other images.
    """

    recipe: str
    settings: Mapping[str, object]
    accuracy: float
    plain_epochs: int


WHOLE_IMAGES: Final = {
    "start_crop_size": 32,
    "full_size_from": 0.0,
    "batch_size": 1000,
    "learning_rate": 0.24,
    "ema_decay": 0.0,
}
GOALS: Final = (
    Goal("fast", {**WHOLE_IMAGES, "epochs": 8, "width_multiplier": 1.0}, 0.94, 8),
    Goal("accurate", {**WHOLE_IMAGES, "epochs": 40, "width_multiplier": 1.5, "cutout": 12}, 0.96, 40),
)
"""Epochs, batch, rate and cutout as airbench94_muon and airbench96 have them; of the widths of the latter, 128, 384 and
512, one factor of 64, 256 and 256 comes closest. They have not been run."""


def measure_cuda(dataset: Path, *, seeds: int, output: Path) -> int:
    """Measure both goals, print and save them; return the exit code, 2 where there is no CUDA device."""
    if not torch.cuda.is_available():
        print("--device is cuda; allowed is cpu on this machine, where torch finds no CUDA device.", file=sys.stderr)
        return 2
    results = []
    print(
        f"{'recipe':>9} {'n':>3} {'seconds':>8} {'training':>9} {'accuracy':>9} {'mark':>7} {'plain':>7} {'plain s':>8}"
    )
    with tempfile.TemporaryDirectory(prefix="bench-train-cuda-") as folder:
        for goal in GOALS:
            results.append(_measure_goal(goal, dataset=dataset, seeds=seeds, folder=Path(folder) / goal.recipe))
            _print_line(results[-1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"saved {output}")
    return 0


def _measure_goal(goal: Goal, *, dataset: Path, seeds: int, folder: Path) -> dict[str, Any]:
    """Train a recipe and the plain port once for each seed, in turn."""
    options = {**goal.settings, "dataset": str(dataset), "recipe": goal.recipe}
    measure(TrainConfig.from_dict(options), workdir=folder / "warm-up")
    runs: list[Measured] = []
    plain: list[Plain] = []
    for seed in range(seeds):
        seeded = TrainConfig.from_dict({**options, "seed": seed})
        runs.append(measure(seeded, workdir=folder / str(seed)))
        plain.append(measure_plain(dataset, epochs=goal.plain_epochs, seed=seed))
    return summarise(goal, runs, plain)


def summarise(goal: Goal, runs: list[Measured], plain: list[Plain]) -> dict[str, Any]:
    """Return what is saved of one goal: means, and each seed's figures."""
    accuracy = statistics.mean(run.test_accuracy for run in runs)
    plain_accuracy = statistics.mean(run.test_accuracies[-1] for run in plain)
    return {
        "recipe": goal.recipe,
        "seeds": len(runs),
        "seconds_mean": statistics.mean(run.seconds for run in runs),
        "training_seconds_mean": statistics.mean(sum(run.epoch_seconds) for run in runs),
        "test_accuracy_mean": accuracy,
        "mark": goal.accuracy,
        "reaches_mark": accuracy >= goal.accuracy,
        "plain_epochs": goal.plain_epochs,
        "plain_seconds_mean": statistics.mean(run.seconds for run in plain),
        "plain_test_accuracy_mean": plain_accuracy,
        "reaches_plain": accuracy >= plain_accuracy,
        "test_accuracies": [run.test_accuracy for run in runs],
        "seconds": [run.seconds for run in runs],
        "config": runs[0].manifest["config"],
        "dataset": runs[0].manifest["dataset"],
        "hardware": runs[0].manifest["hardware"],
        "versions": {**runs[0].manifest["versions"], "platform": platform.platform()},
        "command": " ".join(["python", *sys.argv]),
    }


def _print_line(result: dict[str, Any]) -> None:
    print(
        f"{result['recipe']:>9} {result['seeds']:>3} {result['seconds_mean']:>8.1f} "
        f"{result['training_seconds_mean']:>9.1f} {result['test_accuracy_mean']:>9.4f} {result['mark']:>7.2f} "
        f"{result['plain_test_accuracy_mean']:>7.4f} {result['plain_seconds_mean']:>8.1f}"
    )

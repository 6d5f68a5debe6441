"""How long training takes: seconds and epochs to 87.09 % test accuracy, from a cold process, median over seeds.

    python -m bench.train --dataset DIR [--seeds 5] [--plain-epochs 4] [--set KEY=VALUE ...]

Each seed is one fixed schedule in a fresh process; its clock starts with the process and stops when the single test
evaluation is over (packaging is not counted). A seed reached the mark when its test accuracy did. With --plain-epochs
each seed is followed by the plain port (`bench/plain.py`) with that schedule, and the ratio of the medians is told.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.engine.config import TrainConfig
from training.engine.constants import PUBLISH_STAGES
from training.engine.events import EpochEndEvent, parse_line
from training.engine.package import verify_package

ROOT = Path(__file__).parents[1]
EXPORTING = PUBLISH_STAGES[3]
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


def measure(config: TrainConfig, *, workdir: Path, threads: int | None) -> Measured:
    """Train once in a fresh process.

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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = parse_line(line)
            if event is None:
                continue
            if event["event"] == "epoch_end":
                epochs.append(event)
            elif event["event"] == "progress" and event["message"] == EXPORTING:
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


def measure_plain(dataset: Path, *, epochs: int, seed: int) -> Plain:
    """Run the plain port once in a fresh process."""
    command = [sys.executable, "-m", "bench.plain", "--dataset", str(dataset), "--epochs", str(epochs)]
    started = time.perf_counter()
    done = subprocess.run([*command, "--seed", str(seed)], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return Plain(time.perf_counter() - started, json.loads(done.stdout)["test_accuracies"])


def summarise(runs: list[Measured], plain: list[Plain], *, recipe: str) -> dict[str, Any]:
    """Return what is saved: medians, and each seed's figures."""
    accuracy = statistics.median(run.test_accuracy for run in runs)
    seconds = statistics.median(run.seconds for run in runs)
    return {
        "recipe": recipe,
        "seeds": len(runs),
        "config": runs[0].manifest["config"],
        "seconds_to_87_09_median": seconds if accuracy >= MARK else None,
        "epochs": runs[0].manifest["config"]["epochs"],
        "seconds_median": seconds,
        "test_accuracy_median": accuracy,
        "ratio_to_plain": seconds / statistics.median(run.seconds for run in plain) if plain else None,
        "plain": [asdict(run) for run in plain],
        "best_accuracy_15_minutes": accuracy if seconds <= 900 else None,
        "runs": [{key: value for key, value in asdict(run).items() if key != "manifest"} for run in runs],
        "dataset": runs[0].manifest["dataset"],
        "hardware": runs[0].manifest["hardware"],
        "versions": {**runs[0].manifest["versions"], "platform": platform.platform()},
        "command": " ".join(["python", *sys.argv]),
    }


def print_table(runs: list[Measured], plain: list[Plain]) -> None:
    """Print one line for each seed and the medians."""
    print(f"{'seed':>6} {'seconds':>9} {'test accuracy':>14} {'s/epoch':>8} {'val ≥ 87.09 % in epoch':>23}")
    for run in runs:
        mean = statistics.mean(run.epoch_seconds)
        epoch = run.validation_epoch or "never"
        print(f"{run.seed:>6} {run.seconds:>9.1f} {run.test_accuracy:>14.4f} {mean:>8.1f} {epoch:>23}")
    seconds, accuracy = (statistics.median(getattr(run, name) for run in runs) for name in ("seconds", "test_accuracy"))
    print(f"{'median':>6} {seconds:>9.1f} {accuracy:>14.4f}")
    if plain:
        plain_seconds = statistics.median(run.seconds for run in plain)
        plain_accuracy = statistics.median(run.test_accuracies[-1] for run in plain)
        print(f"{'plain':>6} {plain_seconds:>9.1f} {plain_accuracy:>14.4f} {seconds / plain_seconds:>8.2f} × its time")


def parse_overrides(pairs: list[str]) -> dict[str, object]:
    """Read `KEY=VALUE` pairs; values are JSON, or plain text when they are not."""
    overrides: dict[str, object] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            overrides[key] = json.loads(text)
        except ValueError:
            overrides[key] = text
    return overrides


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="imported dataset directory")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs")
    parser.add_argument("--plain-epochs", type=int, default=0, help="epochs of the plain port; 0 leaves it out")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a training option")
    parser.add_argument("--threads", type=int, help="threads for one operation")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "train-cpu.json")
    arguments = parser.parse_args()
    overrides = parse_overrides(arguments.set)
    runs: list[Measured] = []
    plain: list[Plain] = []
    dataset = arguments.dataset.resolve()
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        for seed in range(arguments.seeds):
            options = {**overrides, "seed": seed}
            config = TrainConfig.from_recipe(arguments.recipe, dataset=str(dataset), **options)
            runs.append(measure(config, workdir=Path(folder) / str(seed), threads=arguments.threads))
            if arguments.plain_epochs:
                plain.append(measure_plain(dataset, epochs=arguments.plain_epochs, seed=seed))
            print_table(runs, plain)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    summary = summarise(runs, plain, recipe=arguments.recipe)
    arguments.output.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"saved {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

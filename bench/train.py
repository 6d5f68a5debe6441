"""How long training takes: seconds and epochs to 87.09 % test accuracy, from a cold process, median over seeds.

    python -m bench.train --dataset DIR [--seeds 5] [--plain-epochs 4] [--set KEY=VALUE ...]

Each seed is one fixed schedule in a fresh process; its clock starts with the process and stops when the single test
evaluation is over (packaging is not counted). A seed reached the mark when its test accuracy did. With --plain-epochs
the first seeds, as many as --plain-seeds says, are followed by the plain port (`bench/plain.py`) with that schedule,
and the ratio of the medians is told.

    python -m bench.train --dataset DIR --quarter-hour [--plain-epochs 6] [--set KEY=VALUE ...]

completes the same file by the best accuracy within 15 minutes: one seed of a longer schedule, which must be over by
then, and beside it the plain port with as many epochs as it finishes in that time.

    python -m bench.train --dataset DIR --device cuda [--seeds 5]

measures on a GPU instead, as `bench/train_cuda.py` says.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.training_runs import MARK, ROOT, Measured, Plain, measure, measure_plain
from training.engine.config import TrainConfig

NO_CUDA: Final = {"CUDA_VISIBLE_DEVICES": ""}
QUARTER_HOUR: Final = 900
"""Seconds."""


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
        "best_accuracy_15_minutes": accuracy if seconds <= QUARTER_HOUR else None,
        "runs": [{key: value for key, value in asdict(run).items() if key != "manifest"} for run in runs],
        "dataset": runs[0].manifest["dataset"],
        "hardware": runs[0].manifest["hardware"],
        "versions": {**runs[0].manifest["versions"], "platform": platform.platform()},
        "command": " ".join(["python", "-m", "bench.train", *sys.argv[1:]]),
    }


def save(path: Path, runs: list[Measured], plain: list[Plain], *, recipe: str, saved: dict[str, Any]) -> None:
    """Write all that is known so far; `saved` is what a schedule of 15 minutes completes, empty otherwise."""
    summary = summarise(runs, plain, recipe=recipe)
    content = complete(saved, summary) if saved else summary
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def complete(saved: dict[str, Any], quarter_hour: dict[str, Any]) -> dict[str, Any]:
    """Return what was saved with the schedule of 15 minutes added to it, and the better of both accuracies."""
    found = [part["best_accuracy_15_minutes"] for part in (saved, quarter_hour)]
    best = max((accuracy for accuracy in found if accuracy is not None), default=None)
    return {**saved, "best_accuracy_15_minutes": best, "quarter_hour": quarter_hour}


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
    parser.add_argument("--plain-seeds", type=int, default=5, help="runs of the plain port")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a training option")
    parser.add_argument("--quarter-hour", action="store_true", help="one seed of 15 minutes; completes the file")
    parser.add_argument("--threads", type=int, help="threads for one operation")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, help="default: bench/results/train-DEVICE.json")
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        cpu_only = ("recipe", "set", "threads", "plain_epochs", "plain_seeds", "quarter_hour")
        given = [name for name in cpu_only if getattr(arguments, name) != parser.get_default(name)]
        if given:
            refused = ", ".join("--" + name.replace("_", "-") for name in given)
            parser.error(f"--device cuda measures its own recipes: leave out {refused}")
    output: Path = arguments.output or ROOT / "bench" / "results" / f"train-{arguments.device}.json"
    if arguments.device == "cuda":
        from bench.train_cuda import measure_cuda  # noqa: PLC0415 - torch would sit beside every measured process

        return measure_cuda(arguments.dataset.resolve(), seeds=arguments.seeds, output=output)
    if arguments.quarter_hour and not output.exists():
        parser.error(f"--quarter-hour completes {output}: measure that first")
    saved = json.loads(output.read_text(encoding="utf-8")) if arguments.quarter_hour else {}
    overrides = parse_overrides(arguments.set)
    runs: list[Measured] = []
    plain: list[Plain] = []
    dataset = arguments.dataset.resolve()
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        for seed in range(1 if arguments.quarter_hour else arguments.seeds):
            options = {**overrides, "seed": seed}
            config = TrainConfig.from_recipe(arguments.recipe, dataset=str(dataset), **options)
            runs.append(measure(config, workdir=Path(folder) / str(seed), threads=arguments.threads, env=NO_CUDA))
            save(output, runs, plain, recipe=arguments.recipe, saved=saved)
            if arguments.plain_epochs and seed < arguments.plain_seeds:
                plain.append(measure_plain(dataset, epochs=arguments.plain_epochs, seed=seed, env=NO_CUDA))
                save(output, runs, plain, recipe=arguments.recipe, saved=saved)
            print_table(runs, plain)
    print(f"saved {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a first phase, and what ImageNet weights, are worth: test accuracy at 1 %, 10 % and 100 % of CIFAR-10.

    python -m bench.transfer --dataset DIR [--weights FILE] [--arms two-phase control] [--shares 1 10] [--minutes 12]

CIFAR-10's training images are parted once: 500 of each class but frogs, 4,500 in all, are the auxiliary dataset, and
the target is a share of the rest, equal per class and drawn anew for each seed. Four arms, two pairs:

* two-phase: the compact network learns the auxiliary images, then the target.
* control: the same network learns the target alone, for as many epochs more as make the number of images seen equal.
* imagenet: EfficientNet-Lite0 starts from ImageNet weights.
* random: the same, from random weights, for as many epochs.

In a pair both arms see the same target, and each has the peak rate that was best for it out of `RATES`: `--tune` finds
it with a seed of its own, on training images outside target and auxiliary set, and later calls take it from the saved
file. The first phase of two has the recipe's own rate. Every finished training is saved at once, and is not repeated by
a later call; `--minutes` starts none that would probably end too late.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.machine import describe_command, describe_hardware, describe_versions
from bench.transfer_trials import (
    AUXILIARY_PER_CLASS,
    COMPACT,
    COMPACT_SHARES,
    LARGE,
    LARGE_SHARES,
    TUNING_SEED,
    Parts,
    Trial,
    choose_test,
    kind_of,
    part,
    run_trial,
)
from training.engine.data import Dataset, load_dataset
from training.engine.device import choose_device

ROOT = Path(__file__).parents[1]
PAIRS = (("two-phase", "control"), ("imagenet", "random"))
RATES = {"compact": (0.015, 0.03, 0.06, 0.12, 0.24, 0.48, 0.96), "large": (5e-4, 1e-3, 2e-3)}
UNTUNED = {"compact": 0.06, "large": 1e-3}
"""Taken for both arms of a pair where nothing was tuned."""
SEEDS = {1: 5, 10: 3, 100: 1}

T_QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""97.5 % quantiles of Student's t by degrees of freedom."""


def choose_rate(tuning: list[dict[str, Any]], *, arm: str, share: int) -> float:
    """Return the best tuned rate; that of 10 % for 100 %, where no training image is left to tune on."""
    tried = [run for run in tuning if (run["arm"], run["share"]) == (arm, min(share, 10))]
    return float(max(tried, key=lambda run: run["accuracy"])["learning_rate"]) if tried else UNTUNED[kind_of(arm)]


def plan_tuning(arms: list[str], shares: list[int]) -> Iterator[Trial]:
    """Yield the trials that find the rates."""
    for share in shares:
        for arm in arms:
            for rate in RATES[kind_of(arm)] if share < 100 else ():
                yield Trial(arm=arm, share=share, seed=TUNING_SEED, learning_rate=rate)


def plan_runs(arms: list[str], shares: list[int], *, tuning: list[dict[str, Any]]) -> Iterator[Trial]:
    """Yield the trials that count, pair by pair."""
    for share in shares:
        for seed in range(SEEDS[share]):
            for arm in (arm for pair in PAIRS for arm in pair if arm in arms):
                yield Trial(arm=arm, share=share, seed=seed, learning_rate=choose_rate(tuning, arm=arm, share=share))


def compare(
    runs: list[dict[str, Any]], *, pair: tuple[str, str], share: int, rates: list[float]
) -> dict[str, Any] | None:
    """Return means, and the mean difference over the seeds of both arms with its 95 % paired t-interval."""
    found = [
        {run["seed"]: run for run in runs if (run["arm"], run["share"], run["learning_rate"]) == (arm, share, rate)}
        for arm, rate in zip(pair, rates, strict=True)
    ]
    seeds = sorted(found[0].keys() & found[1].keys())
    if not seeds:
        return None
    accuracies = [[arm[seed]["accuracy"] for seed in seeds] for arm in found]
    differences = [a - b for a, b in zip(*accuracies, strict=True)]
    mean = statistics.mean(differences)
    half = None
    if len(seeds) > 1:
        half = T_QUANTILES[len(seeds) - 1] * statistics.stdev(differences) / len(seeds) ** 0.5
    return {
        "share": share,
        "arms": list(pair),
        "learning_rates": rates,
        "seeds": len(seeds),
        "target_images": found[0][seeds[0]]["target_images"],
        "images_seen": [arm[seeds[0]]["images_seen"] for arm in found],
        "accuracy_mean": [statistics.mean(values) for values in accuracies],
        "difference_mean": mean,
        "difference_95_interval": None if half is None else [mean - half, mean + half],
    }


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare both arms of every pair at every share."""
    rows = []
    for pair in PAIRS:
        for share in SEEDS:
            rates = [choose_rate(results["tuning"], arm=arm, share=share) for arm in pair]
            rows.append(compare(results["runs"], pair=pair, share=share, rates=rates))
    return [row for row in rows if row is not None]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one line for each pair and share."""
    print(
        f"{'share':>6} {'arms':>22} {'n':>2} {'images seen':>16} {'test accuracy':>17} "
        f"{'difference, 95 % interval':>30}"
    )
    for row in rows:
        seen = " / ".join(f"{count:,}" for count in row["images_seen"])
        accuracies = " / ".join(f"{accuracy:.4f}" for accuracy in row["accuracy_mean"])
        interval = row["difference_95_interval"]
        shown = "one seed: no interval" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
        arms = " / ".join(row["arms"])
        print(
            f"{row['share']:>4} % {arms:>22} {row['seeds']:>2} {seen:>16} {accuracies:>17} "
            f"{row['difference_mean']:>+8.4f}, {shown}"
        )


def describe_settings() -> dict[str, Any]:
    """Return what all trials share, as the saved file has it."""
    settings = {
        "compact": {**COMPACT, "shares": COMPACT_SHARES},
        "large": {**LARGE, "shares": LARGE_SHARES},
        "rates_tried": RATES,
    }
    return dict(json.loads(json.dumps(settings)))


def read_results(path: Path) -> dict[str, Any]:
    """Return what was saved, if anything.

    Raises:
        SystemExit: It was measured with other settings.
    """
    if not path.exists():
        return {"tuning": [], "runs": [], "settings": describe_settings(), "commands": []}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if results["settings"] != describe_settings():
        sys.exit(f"{path} was measured with other settings: move it away, or choose another --output.")
    return {key: results[key] for key in ("tuning", "runs", "settings", "commands")}


def carry_out(
    trials: Iterator[Trial], *, name: str, results: dict[str, Any], parts: Parts, arguments: argparse.Namespace
) -> None:
    """Take the trials that are not among `results[name]` yet, as far as time allows, saving after each."""
    deadline = arguments.started + 60 * arguments.minutes
    done: list[dict[str, Any]] = results[name]
    for trial in trials:
        if any(all(run[key] == value for key, value in asdict(trial).items()) for run in done):
            continue
        label = f"{trial.share} % {trial.arm}, rate {trial.learning_rate:g}, seed {trial.seed}"
        known = [*results["tuning"], *results["runs"]]
        like = [run["seconds"] for run in known if (run["arm"], run["share"]) == (trial.arm, trial.share)]
        if time.monotonic() + max(like, default=0.0) > deadline:
            print(f"{label}: no time is left")
            continue
        test = None if name == "tuning" else choose_test(trial.arm, parts.whole)
        run = run_trial(trial, parts=parts, weights=arguments.weights, test=test)
        print(f"{label}: {run['accuracy']:.4f} in {run['seconds']:.0f} s", flush=True)
        done.append(run)
        save(arguments.output, results=results, dataset=parts.whole)


def save(path: Path, *, results: dict[str, Any], dataset: Dataset) -> None:
    """Write all that is known so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    content = {
        "summary": summarise(results),
        **results,
        "auxiliary_images": AUXILIARY_PER_CLASS * (len(dataset.class_keys) - 1),
        "test_images": {arm: len(choose_test(arm, dataset)) for pair in PAIRS for arm in pair},
        "dataset": {"name": dataset.name, "sha256": dataset.sha256},
        "hardware": {**describe_hardware(), "threads": torch.get_num_threads()},
        "versions": describe_versions("torch", "timm"),
        "precision": choose_device("auto").precision,
        "commands": list(dict.fromkeys([*results["commands"], describe_command("bench.transfer")])),
    }
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def main() -> int:
    """Measure, print and save."""
    arms = [arm for pair in PAIRS for arm in pair]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="CIFAR-10 as an imported dataset directory")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of tf_efficientnet_lite0, for arm imagenet")
    parser.add_argument("--arms", nargs="+", choices=arms, default=list(PAIRS[0]))
    parser.add_argument("--shares", nargs="+", type=int, choices=tuple(SEEDS), default=[1, 10])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing that would end later")
    parser.add_argument("--tune", action="store_true", help="find the rates, on left-over training images")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "transfer.json")
    arguments = parser.parse_args()
    if "imagenet" in arguments.arms and arguments.weights is None:
        parser.error("arm imagenet needs --weights")
    arguments.started = time.monotonic()
    parts = part(load_dataset(arguments.dataset.resolve()))
    results = read_results(arguments.output)
    if arguments.tune:
        trials, name = plan_tuning(arguments.arms, arguments.shares), "tuning"
    else:
        trials, name = plan_runs(arguments.arms, arguments.shares, tuning=results["tuning"]), "runs"
    carry_out(trials, name=name, results=results, parts=parts, arguments=arguments)
    print_table(summarise(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

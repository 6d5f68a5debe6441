"""What a first phase, and what ImageNet weights, are worth: test accuracy at 1 %, 10 % and 100 % of CIFAR-10.

    python -m bench.transfer --dataset DIR [--weights FILE] [--arms two-phase control] [--shares 1 10] [--minutes 12]

CIFAR-10's training images are parted once: 500 of each class but frogs, 4,500 in all, are the auxiliary dataset, and
the target is a share of the rest, equal per class and drawn anew for each seed. Four arms, two pairs:

* two-phase: the compact network learns the auxiliary images, then the target.
* control: the same network learns the target alone, for as many epochs more as make the number of images seen equal.
* imagenet: EfficientNet-Lite0 starts from ImageNet weights.
* random: the same, from random weights, for as many epochs.

In a pair both arms see the same target, and each has the peak rate that was best for it out of `RATES`, chosen with
`--tune` on training images outside target and auxiliary set, with a seed of its own. Every finished training is saved
at once, and is not repeated by a later call; `--minutes` starts none that would probably end too late.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.machine import describe_hardware, describe_versions
from training.engine.config import TrainConfig
from training.engine.data import Dataset, Split, load_dataset
from training.engine.device import choose_device
from training.engine.evaluate import predict_logits
from training.engine.fit import Trainer
from training.engine.metrics import top_k_accuracy
from training.engine.transfer import train_in_phases

ROOT = Path(__file__).parents[1]
PAIRS = (("two-phase", "control"), ("imagenet", "random"))
LEFT_OUT_CLASS = "frog"
"""STL-10 has none either."""
AUXILIARY_PER_CLASS = 500
TUNING_SEED = 1000
TUNING_IMAGES = 3000
COSTLY_TEST_PER_CLASS = 200
"""The larger network is tested on so many images of each class, the first of the test split."""

RATES = {"compact": (0.06, 0.12, 0.24), "large": (5e-4, 1e-3, 2e-3)}
SEEDS = {1: 5, 10: 3, 100: 1}

COMPACT: dict[str, object] = {
    "recipe": "fast",
    "width_multiplier": 0.5,
    "validation_fraction": 0.0,
    "whitening_bias_epochs": 3,
    "auxiliary_learning_rate": 0.24,
}
COMPACT_SHARES: dict[int, dict[str, int]] = {
    1: {"batch_size": 150, "epochs": 30, "auxiliary_epochs": 8},
    10: {"batch_size": 250, "epochs": 10, "auxiliary_epochs": 8},
    100: {"batch_size": 500, "epochs": 8, "auxiliary_epochs": 8},
}
"""Batches are divisors of the numbers of images, so that hardly any is left out of an epoch."""

LARGE: dict[str, object] = {
    "recipe": "transfer-stl10",
    "architecture": "tf_efficientnet_lite0",
    "stem": "imagenet",
    "input_size": 64,
    "batch_size": 50,
    "validation_fraction": 0.0,
    "tested_weights": "last",
    "mixup_probability": 0.0,
    "cutmix_probability": 0.0,
    "auxiliary_dataset": "",
    "auxiliary_epochs": 0,
    "auxiliary_learning_rate": 0.0,
}
LARGE_SHARES: dict[int, dict[str, int]] = {1: {"epochs": 15}, 10: {"epochs": 3}, 100: {"epochs": 1}}

BEST_RATES: dict[tuple[str, int], float] = {
    ("two-phase", 1): 0.12,
    ("two-phase", 10): 0.12,
    ("two-phase", 100): 0.12,
    ("control", 1): 0.12,
    ("control", 10): 0.12,
    ("control", 100): 0.12,
    ("imagenet", 1): 1e-3,
    ("imagenet", 10): 1e-3,
    ("imagenet", 100): 1e-3,
    ("random", 1): 1e-3,
    ("random", 10): 1e-3,
    ("random", 100): 1e-3,
}
"""Found with `--tune`; what is best at 10 % is taken for 100 %, where no training image is left to tune on."""

T_QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""97.5 % quantiles of Student's t by degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training.

    Attributes:
        arm: Which.
        share: Labelled share of the target, in per cent.
        seed: Of the target's draw and of the training.
        learning_rate: Peak rate.
    """

    arm: str
    share: int
    seed: int
    learning_rate: float


@dataclass(frozen=True)
class Parts:
    """CIFAR-10's training images, parted.

    Attributes:
        whole: The dataset.
        auxiliary: The nine classes' images to learn from first.
        rest: (M,) int64, rows of the training split that are not in it.
    """

    whole: Dataset
    auxiliary: Dataset
    rest: torch.Tensor

    def draw_target(self, *, share: int, seed: int) -> tuple[Dataset, Split]:
        """Return the target, and the first training images that are left over."""
        labels = self.whole.train.labels[self.rest]
        generator = torch.Generator().manual_seed(seed)
        chosen, left = [], []
        for label in range(len(self.whole.class_keys)):
            members = self.rest[labels == label]
            members = members[torch.randperm(len(members), generator=generator)]
            count = round(share / 100 * len(members))
            chosen.append(members[:count])
            left.append(members[count : count + TUNING_IMAGES // len(self.whole.class_keys)])
        target = replace(self.whole, train=self.whole.train.select(torch.cat(chosen)))
        return target, self.whole.train.select(torch.cat(left))


def part(dataset: Dataset) -> Parts:
    """Hold the auxiliary images out of the training split, the first of each class."""
    keys = [key for key in dataset.class_keys if key != LEFT_OUT_CLASS]
    rows = {key: (dataset.train.labels == dataset.class_keys.index(key)).nonzero().flatten() for key in keys}
    held = torch.cat([rows[key][:AUXILIARY_PER_CLASS] for key in keys])
    labels = torch.arange(len(keys)).repeat_interleave(AUXILIARY_PER_CLASS)
    manifest = {**dataset.manifest, "name": "auxiliary", "class_keys": keys}
    auxiliary = Dataset(dataset.path, manifest, Split(dataset.train.images[held], labels), dataset.test)
    is_rest = torch.ones(len(dataset.train), dtype=torch.bool)
    is_rest[held] = False
    return Parts(dataset, auxiliary, is_rest.nonzero().flatten())


def configure(trial: Trial, *, weights: Path | None, auxiliary_images: int, target_images: int) -> TrainConfig:
    """Return a trial's settings."""
    if trial.arm in {"imagenet", "random"}:
        options: dict[str, object] = {**LARGE, **LARGE_SHARES[trial.share]}
        if trial.arm == "imagenet":
            options |= {"pretrained": "file", "weights_file": str(weights)}
    else:
        sizes = COMPACT_SHARES[trial.share]
        options = {**COMPACT, **sizes, "auxiliary_dataset": "auxiliary"}
        if trial.arm == "control":
            batch = sizes["batch_size"]
            first = sizes["auxiliary_epochs"] * (auxiliary_images // batch * batch)
            more = round(first / (target_images // batch * batch))
            options |= {"epochs": sizes["epochs"] + more, "auxiliary_dataset": ""}
            options |= {"auxiliary_epochs": 0, "auxiliary_learning_rate": 0.0}
    options |= {"seed": trial.seed, "learning_rate": trial.learning_rate, "dataset": "target"}
    return TrainConfig.from_dict(options)


def run_trial(trial: Trial, *, parts: Parts, weights: Path | None, test: Split | None = None) -> dict[str, Any]:
    """Train once and test; `test` replaces the test split by left-over training images where it is None."""
    target, left = parts.draw_target(share=trial.share, seed=trial.seed)
    config = configure(
        trial, weights=weights, auxiliary_images=len(parts.auxiliary.train), target_images=len(target.train)
    )
    device = choose_device(config.precision)
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="bench-transfer-") as folder,
        contextlib.redirect_stdout(io.StringIO()) as told,
    ):
        if config.auxiliary_dataset:
            trainer = train_in_phases(
                config=config, dataset=target, auxiliary=parts.auxiliary, device=device, workdir=Path(folder)
            )
        else:
            trainer = Trainer(config=config, dataset=target, device=device, workdir=Path(folder))
            trainer.train()
    epochs = [json.loads(line) for line in told.getvalue().splitlines() if '"epoch_end"' in line]
    seconds = time.perf_counter() - started
    split = left if test is None else test
    logits = predict_logits(trainer.network, split, device=device)
    return {
        **asdict(trial),
        "accuracy": top_k_accuracy(logits, split.labels, k=1),
        "target_images": len(target.train),
        "images_seen": sum(epoch["images"] for epoch in epochs),
        "seconds": seconds,
    }


def choose_test(arm: str, dataset: Dataset) -> Split:
    """Return the test images of an arm."""
    if arm not in {"imagenet", "random"}:
        return dataset.test
    rows = [(dataset.test.labels == label).nonzero().flatten() for label in range(len(dataset.class_keys))]
    return dataset.test.select(torch.cat([row[:COSTLY_TEST_PER_CLASS] for row in rows]))


def plan(arms: list[str], shares: list[int]) -> Iterator[Trial]:
    """Yield the trials, pair by pair."""
    for share in shares:
        for seed in range(SEEDS[share]):
            for pair in PAIRS:
                for arm in pair:
                    if arm in arms:
                        yield Trial(arm=arm, share=share, seed=seed, learning_rate=BEST_RATES[arm, share])


def compare(runs: list[dict[str, Any]], pair: tuple[str, str], share: int) -> dict[str, Any] | None:
    """Return means, and the mean difference over the seeds of both arms with its 95 % paired t-interval."""
    found = [{run["seed"]: run for run in runs if (run["arm"], run["share"]) == (arm, share)} for arm in pair]
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
        "seeds": len(seeds),
        "target_images": found[0][seeds[0]]["target_images"],
        "images_seen": [arm[seeds[0]]["images_seen"] for arm in found],
        "accuracy_mean": [statistics.mean(values) for values in accuracies],
        "difference_mean": mean,
        "difference_95_interval": None if half is None else [mean - half, mean + half],
    }


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare both arms of every pair at every share."""
    rows = (compare(runs, pair, share) for pair in PAIRS for share in SEEDS)
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


def tune(arms: list[str], shares: list[int], *, parts: Parts, weights: Path | None) -> None:
    """Print the accuracy of each arm at each rate on left-over training images."""
    for share in shares:
        for arm in arms:
            for rate in RATES["large" if arm in {"imagenet", "random"} else "compact"]:
                trial = Trial(arm=arm, share=share, seed=TUNING_SEED, learning_rate=rate)
                run = run_trial(trial, parts=parts, weights=weights)
                print(f"{share} % {arm} {rate:g}: {run['accuracy']:.4f} in {run['seconds']:.0f} s", flush=True)


def measure(arguments: argparse.Namespace, *, parts: Parts) -> list[dict[str, Any]]:
    """Carry out the trials that are not saved yet, as far as time allows, saving after each."""
    deadline = time.monotonic() + 60 * arguments.minutes
    saved = json.loads(arguments.output.read_text()) if arguments.output.exists() else {"runs": []}
    runs: list[dict[str, Any]] = saved["runs"]
    for trial in plan(arguments.arms, arguments.shares):
        if any(all(run[key] == value for key, value in asdict(trial).items()) for run in runs):
            continue
        like = [run["seconds"] for run in runs if (run["arm"], run["share"]) == (trial.arm, trial.share)]
        if time.monotonic() + max(like, default=0.0) > deadline:
            print(f"no time is left for {trial.arm} at {trial.share} % with seed {trial.seed}")
            continue
        runs.append(run_trial(trial, parts=parts, weights=arguments.weights, test=choose_test(trial.arm, parts.whole)))
        print(
            f"{trial.share} % {trial.arm} seed {trial.seed}: {runs[-1]['accuracy']:.4f} in {runs[-1]['seconds']:.0f} s",
            flush=True,
        )
        save(arguments.output, runs=runs, dataset=parts.whole)
    return runs


def save(path: Path, *, runs: list[dict[str, Any]], dataset: Dataset) -> None:
    """Write all that is known so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    content = {
        "summary": summarise(runs),
        "runs": runs,
        "settings": {
            "compact": {**COMPACT, "shares": COMPACT_SHARES},
            "large": {**LARGE, "shares": LARGE_SHARES},
            "rates_tried": RATES,
        },
        "auxiliary_images": AUXILIARY_PER_CLASS * (len(dataset.class_keys) - 1),
        "test_images": {arm: len(choose_test(arm, dataset)) for pair in PAIRS for arm in pair},
        "dataset": {"name": dataset.name, "sha256": dataset.sha256},
        "hardware": {**describe_hardware(), "threads": torch.get_num_threads()},
        "versions": describe_versions("torch", "timm"),
        "precision": choose_device("auto").precision,
        "command": " ".join(["python", "-m", "bench.transfer", *sys.argv[1:]]),
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
    parser.add_argument("--tune", action="store_true", help="try the rates on left-over training images; save nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "transfer.json")
    arguments = parser.parse_args()
    if "imagenet" in arguments.arms and arguments.weights is None:
        parser.error("arm imagenet needs --weights")
    parts = part(load_dataset(arguments.dataset.resolve()))
    if arguments.tune:
        tune(arguments.arms, arguments.shares, parts=parts, weights=arguments.weights)
    else:
        print_table(summarise(measure(arguments, parts=parts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

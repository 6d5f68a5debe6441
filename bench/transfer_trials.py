"""The trainings of `bench.transfer`: the parts of CIFAR-10, the settings of each arm, one training and its test."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training.engine.config import TrainConfig
from training.engine.data import Dataset, Split
from training.engine.device import choose_device
from training.engine.evaluate import predict_logits
from training.engine.fit import Trainer
from training.engine.metrics import top_k_accuracy
from training.engine.transfer import train_in_phases

LEFT_OUT_CLASS = "frog"
"""STL-10 has none either."""
AUXILIARY_PER_CLASS = 500
TUNING_SEED = 1000
TUNING_IMAGES = 3000
COSTLY_TEST_PER_CLASS = 200
"""The larger network is tested on so many images of each class, the first of the test split."""

COMPACT: dict[str, object] = {
    "recipe": "fast",
    "width_multiplier": 0.5,
    "validation_fraction": 0.0,
    "whitening_bias_epochs": 3,
    "ema_decay": 0.0,
    "start_crop_size": 24,
    "full_size_from": 0.8,
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


def kind_of(arm: str) -> str:
    """Return which network an arm trains."""
    return "large" if arm in {"imagenet", "random"} else "compact"


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
    if kind_of(trial.arm) == "large":
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
        make = partial(Trainer, device=device, workdir=Path(folder))
        if config.auxiliary_dataset:
            trainer = train_in_phases(config=config, dataset=target, auxiliary=parts.auxiliary, make=make)
        else:
            trainer = make(config=config, dataset=target)
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
    if kind_of(arm) == "compact":
        return dataset.test
    rows = [(dataset.test.labels == label).nonzero().flatten() for label in range(len(dataset.class_keys))]
    return dataset.test.select(torch.cat([row[:COSTLY_TEST_PER_CLASS] for row in rows]))

"""What fine-tuning from ImageNet weights reaches with few images: recipe `imagenet-finetune` on a part of CIFAR-10.

    python -m bench.finetune --dataset DIR --weights FILE [--seeds 3] [--images 2500] [--epochs 3]

EfficientNet-Lite0 learns an equal number of images of each class, drawn anew for each seed: once with the recipe's own
settings, and once with its whole backbone frozen, so that the head alone learns from ready features. It is tested once,
on the first 200 test images of each class, without test-time augmentation; only the epochs, the split and the source of
the weights differ from the recipe. At the end recipe `resnet18-finetune` trains for one epoch from random weights on as
many images as --epoch-images says: its time does not depend on the weights, and no accuracy is told. Processor seconds,
of all threads together, stand beside the time on the clock, which other work on the machine lengthens.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from bench.machine import save_result
from training.engine.config import TrainConfig
from training.engine.data import Dataset, Split, load_dataset
from training.engine.device import choose_device
from training.engine.evaluate import predict_logits
from training.engine.fit import Trainer
from training.engine.memory import keep_freed_memory
from training.engine.metrics import top_k_accuracy

TEST_PER_CLASS: Final = 200
ARMS: Final[dict[str, dict[str, object]]] = {"backbone frozen": {"frozen_stages": -1}, "fine-tuned": {}}
WHOLE: Final[dict[str, object]] = {"validation_fraction": 0.0, "tested_weights": "last"}
"""No image is spared for validation, so the last weights are the ones that count."""
EPOCH: Final[dict[str, object]] = {**WHOLE, "early_stopping_patience": 0}


def take(split: Split, *, per_class: int, class_count: int, seed: int | None = None) -> Split:
    """Return as many images of each class, drawn with `seed`, or the first where it is None."""
    generator = torch.Generator().manual_seed(seed or 0)
    chosen = []
    for label in range(class_count):
        rows = (split.labels == label).nonzero().flatten()
        order = torch.arange(len(rows)) if seed is None else torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[:per_class]])
    return split.select(torch.cat(chosen))


def train(config: TrainConfig, *, dataset: Dataset) -> tuple[Trainer, dict[str, float]]:
    """Train in this process, its events unheard; return the trainer and how long training took."""
    with tempfile.TemporaryDirectory(prefix="bench-finetune-") as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(config=config, dataset=dataset, device=choose_device(config.precision), workdir=Path(folder))
        started, cpu_started = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return trainer, {"seconds": seconds, "processor_seconds": cpu_seconds}


def measure_arm(arm: str, *, dataset: Dataset, test: Split, seed: int, options: dict[str, object]) -> dict[str, Any]:
    """Train one arm with one seed and test it."""
    config = TrainConfig.from_recipe(
        "imagenet-finetune", dataset=dataset.name, pretrained="file", seed=seed, **WHOLE, **options, **ARMS[arm]
    )
    trainer, times = train(config, dataset=dataset)
    logits = predict_logits(trainer.network, test, device=trainer.device)
    accuracy = top_k_accuracy(logits, test.labels, k=1)
    print(
        f"{arm:>16} {seed:>5} {accuracy:>14.4f} {times['seconds']:>8.1f} {times['processor_seconds']:>10.1f}",
        flush=True,
    )
    return {"arm": arm, "seed": seed, "test_accuracy": accuracy, "epochs": config.epochs, **times}


def average(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean test accuracy of every arm that was measured."""
    accuracies = {arm: [run["test_accuracy"] for run in runs if run["arm"] == arm] for arm in ARMS}
    return {arm: statistics.mean(values) for arm, values in accuracies.items() if values}


def measure_epoch(dataset: Dataset, *, images: int) -> dict[str, Any]:
    """Time one epoch of recipe `resnet18-finetune`."""
    config = TrainConfig.from_recipe("resnet18-finetune", dataset=dataset.name, epochs=1, pretrained="none", **EPOCH)
    trainer, times = train(config, dataset=replace(dataset, train=dataset.train.spread(images)))
    seen = trainer.steps_per_epoch * trainer.batch_size
    rate = seen / times["processor_seconds"]
    print(f"resnet18-finetune, one epoch: {times['seconds']:.1f} s, {rate:.0f} images a processor second")
    return {"images": seen, **times, "images_per_second": seen / times["seconds"], "images_per_processor_second": rate}


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="CIFAR-10 as an imported dataset directory")
    parser.add_argument("--weights", required=True, type=Path, help="ImageNet weights of tf_efficientnet_lite0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2500, help="training images, of all classes together")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--epoch-images", type=int, default=10_000, help="images of the epoch that is only timed")
    arguments = parser.parse_args()
    keep_freed_memory()
    dataset = load_dataset(arguments.dataset.resolve())
    classes = len(dataset.class_keys)
    test = take(dataset.test, per_class=TEST_PER_CLASS, class_count=classes)
    options: dict[str, object] = {"epochs": arguments.epochs, "weights_file": str(arguments.weights.resolve())}
    print(f"{'arm':>16} {'seed':>5} {'test accuracy':>14} {'seconds':>8} {'processor':>10}")
    figures: dict[str, Any] = {
        "recipe": "imagenet-finetune",
        "architecture": "tf_efficientnet_lite0",
        "training_images": arguments.images,
        "test_images": len(test),
        "runs": [],
        "device": choose_device("auto").describe_hardware(),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256},
    }
    for seed in range(arguments.seeds):
        chosen = take(dataset.train, per_class=arguments.images // classes, class_count=classes, seed=seed)
        part = replace(dataset, train=chosen)
        for arm in ARMS:
            figures["runs"].append(measure_arm(arm, dataset=part, test=test, seed=seed, options=options))
            figures["test_accuracy_mean"] = average(figures["runs"])
            save_result("finetune.json", figures, packages=("torch", "timm"))
    figures["resnet18_finetune_epoch"] = measure_epoch(dataset, images=arguments.epoch_images)
    save_result("finetune.json", figures, packages=("torch", "timm"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The plain port: a straightforward training loop of the compact network, the baseline of `bench.train`.

    python -m bench.plain --dataset DIR [--epochs 8] [--batch-size 1000] [--seed 0]

The network of recipe `fast` at its full width, with the same optimizers, on whole images: bfloat16 autocast where the
processor has it, channels-last, flips and shifts of whole batches, and the test accuracy after every epoch. It prints
one JSON object. Source: Jordan 2024, arXiv 2404.00498 (airbench94).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.augment import to_float
from training.engine.config import TrainConfig
from training.engine.data import Dataset, load_dataset
from training.engine.device import Device, choose_device
from training.engine.evaluate import predict_logits
from training.engine.networks import WhitenedCnn
from training.engine.optim import build_optimizers

PATCH_IMAGES = 5000
SHIFT = 2
SETTINGS: Final[dict[str, object]] = {
    "recipe": "fast",
    "width_multiplier": 1.0,
    "learning_rate": 0.24,
    "bias_learning_rate": 0.053,
    "head_learning_rate": 0.67,
    "momentum": 0.85,
    "muon_momentum": 0.6,
    "weight_decay": 2e-6,
    "label_smoothing": 0.2,
    "whitening_bias_epochs": 3,
}
"""Those of airbench94, whatever becomes of the recipe; the rates are meant for batches of about a thousand images."""


def augment(images: Tensor) -> Tensor:
    """Shift each image by up to two pixels, borders continued by reflection, and mirror half of them.

    Args:
        images: (N, 3, 32, 32) float.

    Returns:
        (N, 3, 32, 32) float.
    """
    padded = functional.pad(images, (SHIFT,) * 4, mode="reflect")
    shifts = torch.randint(0, 2 * SHIFT + 1, (len(images), 2), device=images.device)
    result = torch.empty_like(images)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            chosen = (shifts == torch.tensor([down, right], device=images.device)).all(dim=1)
            result[chosen] = padded[chosen, :, down : down + 32, right : right + 32]
    mirrored = torch.rand(len(images), device=images.device) < 0.5
    result[mirrored] = result[mirrored].flip(3)
    return result


def train(dataset: Dataset, *, config: TrainConfig, device: Device) -> list[float]:
    """Train on the whole training split; return the test accuracy after each epoch."""
    images = to_float(dataset.train.images).contiguous(memory_format=torch.channels_last).to(device.torch_device)
    labels = dataset.train.labels.to(device.torch_device)
    network = WhitenedCnn(class_count=len(dataset.class_keys), mean=dataset.mean, std=dataset.std)
    network.adapt_to(images[:PATCH_IMAGES].cpu())
    network = network.to(device.torch_device).to(memory_format=torch.channels_last)
    optimizers = build_optimizers(network, config=config, dtype=device.dtype)
    steps_per_epoch = len(images) // config.batch_size
    accuracies = []
    for epoch in range(config.epochs):
        network.train()
        network.whitening_bias.requires_grad = epoch < config.whitening_bias_epochs
        order = torch.randperm(len(images), device=images.device)
        for index in range(steps_per_epoch):
            batch = order[index * config.batch_size : (index + 1) * config.batch_size]
            with device.autocast():
                logits = network(augment(images[batch])).float()
            loss = functional.cross_entropy(
                logits, labels[batch], label_smoothing=config.label_smoothing, reduction="sum"
            )
            loss.backward()  # type: ignore[no-untyped-call]
            step = epoch * steps_per_epoch + index
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    epochs = config.whitening_bias_epochs if group["name"] == "whitening" else config.epochs
                    group["lr"] = group["initial_lr"] * max(0.0, 1 - step / (epochs * steps_per_epoch))
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        hits = predict_logits(network, dataset.test, device=device).argmax(dim=1) == dataset.test.labels
        accuracies.append(hits.double().mean().item())
    return accuracies


def main() -> int:
    """Train once and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=Path, help="imported dataset directory")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    dataset = load_dataset(arguments.dataset)
    sizes = {"epochs": arguments.epochs, "batch_size": arguments.batch_size}
    config = TrainConfig.from_dict({**SETTINGS, **sizes, "dataset": str(arguments.dataset)})
    accuracies = train(dataset, config=config, device=choose_device("auto"))
    print(json.dumps({"test_accuracy": accuracies[-1], "test_accuracies": accuracies}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a network says about images as they are: logits, and the features behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from training.engine.augment import to_float
from training.engine.data import Split
from training.engine.device import Device, send
from training.engine.networks import Network

BatchCallback = Callable[[], None]
"""Called before each batch; may raise to interrupt."""

EVALUATION_BATCH_SIZE: Final = 500
"""Large enough to fill a GPU, small enough for 1 GB of activations."""


def ignore_batch() -> None:
    """Do nothing: for callers that need no word between batches."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network says about N images.

    Attributes:
        logits: (N, K) float32 on the CPU.
        features: (N, D) float32 on the CPU, what the last layer decides by.
    """

    logits: Tensor
    features: Tensor


def predict_logits(
    network: nn.Module, split: Split, *, device: Device, on_batch: BatchCallback = ignore_batch
) -> Tensor:
    """Classify every image of a split in evaluation mode; the network's mode is restored.

    Args:
        network: Maps (N, 3, 32, 32) float in [0, 1] to (N, K) logits.
        split: The images.
        device: Where the network is, and in which precision to compute.
        on_batch: Called before each batch.

    Returns:
        (N, K) float32 on the CPU.
    """

    def forward(batch: Tensor) -> tuple[Tensor]:
        return (network(batch),)

    (logits,) = _in_batches(network, split.images, forward=forward, device=device, on_batch=on_batch)
    return logits


def predict(network: Network, images: Tensor, *, device: Device, on_batch: BatchCallback = ignore_batch) -> Answers:
    """Classify images in evaluation mode and keep their features; the network's mode is restored.

    Args:
        network: The network.
        images: (N, 32, 32, 3) uint8.
        device: Where the network is, and in which precision to compute.
        on_batch: Called before each batch.
    """

    def forward(batch: Tensor) -> tuple[Tensor, Tensor]:
        feature_map = network.extract_features(batch)
        return network.classify(feature_map), network.pool(feature_map)

    logits, features = _in_batches(network, images, forward=forward, device=device, on_batch=on_batch)
    return Answers(logits=logits, features=features)


@torch.no_grad()
def _in_batches(
    network: nn.Module,
    images: Tensor,
    *,
    forward: Callable[[Tensor], tuple[Tensor, ...]],
    device: Device,
    on_batch: BatchCallback,
) -> tuple[Tensor, ...]:
    """Return what `forward` makes of all images (N, 32, 32, 3) uint8, each output as float32 on the CPU."""
    was_training = network.training
    network.eval()
    results = []
    for batch in torch.split(images, EVALUATION_BATCH_SIZE):
        on_batch()
        with device.autocast():
            outputs = forward(to_float(send(batch, device.torch_device)))
        results.append([output.float() for output in outputs])
    network.train(was_training)
    return tuple(torch.cat(parts).cpu() for parts in zip(*results, strict=True))

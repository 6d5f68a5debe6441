"""Logits of a whole split, without augmentation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.engine.augment import to_float
from training.engine.data import Split
from training.engine.device import Device, send

EVALUATION_BATCH_SIZE = 500
"""Large enough to fill a GPU, small enough for 1 GB of activations."""


@torch.no_grad()
def predict_logits(network: nn.Module, split: Split, *, device: Device) -> Tensor:
    """Classify every image of a split in evaluation mode; the network's mode is restored.

    Args:
        network: Maps (N, 3, 32, 32) float in [0, 1] to (N, K) logits.
        split: The images.
        device: Where the network is, and in which precision to compute.

    Returns:
        (N, K) float32 on the CPU.
    """
    was_training = network.training
    network.eval()
    results = []
    for images in torch.split(split.images, EVALUATION_BATCH_SIZE):
        with device.autocast():
            logits: Tensor = network(to_float(send(images, device.torch_device)))
        results.append(logits.float())
    network.train(was_training)
    return torch.cat(results).cpu()

"""What training, export and publication ask of every network, whoever designed it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from training.engine.config import TrainConfig

BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
"""Layers with running statistics."""


class Network(nn.Module, ABC):
    """A classifier of images in [0, 1] that normalises, and where it wants larger ones enlarges, them itself.

    Args:
        mean: Mean of each colour that is subtracted, in [0, 1].
        std: Standard deviation of each colour by which is divided.

    Attributes:
        arguments: What, besides the mean and the deviation, `build_network` needs to build it again; ready for JSON.
    """

    mean: Tensor
    std: Tensor
    arguments: Mapping[str, Any]

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(1, len(mean), 1, 1))
        self.register_buffer("std", torch.empty(1, len(std), 1, 1))
        self.set_normalisation(mean=mean, std=std)

    def set_normalisation(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Replace the mean and the deviation of each colour."""
        self.normalisation = (tuple(mean), tuple(std))
        self.mean.copy_(torch.tensor(mean).view_as(self.mean))
        self.std.copy_(torch.tensor(std).view_as(self.std))

    def normalise(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 1] to the scale that the first layer expects."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (N, 3, H, W) float in [0, 1].

        Returns:
            (N, K) logits.
        """
        return self.classify(self.extract_features(images))

    @property
    @abstractmethod
    def head_keys(self) -> tuple[str, ...]:
        """Names, in the state dict, of the last layer's tensors, each with one row for each class."""

    @abstractmethod
    def extract_features(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to the last feature map (N, C, h, w)."""

    @abstractmethod
    def pool(self, feature_map: Tensor) -> Tensor:
        """Map a feature map (N, C, h, w) to the vectors (N, D) that the last layer sees, without dropout."""

    @abstractmethod
    def classify(self, feature_map: Tensor) -> Tensor:
        """Map a feature map (N, C, h, w) to logits (N, K)."""

    def get_features(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to one vector each, (N, D): what the last layer decides by."""
        return self.pool(self.extract_features(images))

    def parameters_by_depth(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the head, then of each stage towards the stem; by default all are one stage."""
        return [list(self.parameters())]

    def adapt_to(self, images: Tensor) -> None:
        """Compute what depends on the training images before the first step; by default nothing.

        Args:
            images: (N, 3, 32, 32) float in [0, 1], some training images.
        """

    def start_epoch(self, epoch: int, *, config: TrainConfig) -> None:
        """Get ready to learn in an epoch.

        Args:
            epoch: Epoch, counted from 0.
            config: The run's settings.
        """
        self.train()


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Return the number of all parameters and of those that learn."""
    parameters = list(network.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)

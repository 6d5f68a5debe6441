"""The compact CIFAR network: a whitening layer, three blocks of convolutions, a linear head.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, sections 3.1 (network),
3.2 (whitening first layer), 3.3 (Dirac initialisation) and 4 (deeper residual blocks for 96 %). Written anew from the
paper's description.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.engine.architectures import MINIMUM_DEPTH
from training.engine.config import TrainConfig
from training.engine.constants import IMAGE_CHANNELS
from training.engine.networks.base import Network

BLOCK_CHANNELS: Final = (64, 256, 256)
"""Output channels of the three blocks at width 1 (Jordan 2024, airbench94)."""

WHITENING_KERNEL: Final = 2
WHITENING_EPSILON: Final = 5e-4
"""Added to the patch covariance's eigenvalues (Jordan 2024)."""

BATCH_NORM_MOMENTUM: Final = 0.4
"""Share of the newest batch in the running statistics; short trainings need fast ones (Jordan 2024)."""

BATCH_NORM_EPSILON: Final = 1e-12


class ScaledNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale stays 1: only its bias learns."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
        self.weight.requires_grad = False


class ConvBlock(nn.Module):
    """Convolution, 2×2 max-pool, more convolutions; each is normalised and followed by GELU.

    Where more than one convolution follows the pool, they learn what is added to their input (He et al. 2015,
    arXiv 1512.03385).

    Args:
        channels_in: Channels that come in.
        channels_out: Channels of every convolution.
        depth: Number of convolutions, at least 2.
    """

    def __init__(self, channels_in: int, channels_out: int, *, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for number in range(1, depth + 1):
            self.add_module(f"conv{number}", _dirac_conv(channels_in if number == 1 else channels_out, channels_out))
            self.add_module(f"norm{number}", ScaledNorm(channels_out))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H // 2, W // 2)."""
        pooled = functional.gelu(self._normalise(1, functional.max_pool2d(self._convolve(1, features), 2)))
        features = pooled
        for number in range(2, self.depth + 1):
            features = self._normalise(number, self._convolve(number, features))
            if number == self.depth > 2:
                features = features + pooled
            features = functional.gelu(features)
        return features

    def _convolve(self, number: int, features: Tensor) -> Tensor:
        return cast("Tensor", self.get_submodule(f"conv{number}")(features))

    def _normalise(self, number: int, features: Tensor) -> Tensor:
        return cast("Tensor", self.get_submodule(f"norm{number}")(features))


class WhitenedCnn(Network):
    """The network; it takes images in [0, 1] and normalises them itself.

    Args:
        class_count: Number of classes K.
        mean: Mean of each colour over the training images, in [0, 1].
        std: Standard deviation of each colour.
        width_multiplier: Multiplies `BLOCK_CHANNELS`.
        depth: Convolutions in each block, at least 2.
    """

    def __init__(
        self,
        *,
        class_count: int,
        mean: Sequence[float],
        std: Sequence[float],
        width_multiplier: float = 1.0,
        depth: int = MINIMUM_DEPTH,
    ) -> None:
        super().__init__(mean=mean, std=std)
        self.arguments = {"class_count": class_count, "width_multiplier": width_multiplier, "depth": depth}
        patch_size = IMAGE_CHANNELS * WHITENING_KERNEL**2
        self.whitening = nn.Conv2d(IMAGE_CHANNELS, 2 * patch_size, WHITENING_KERNEL)
        self.whitening.weight.requires_grad = False
        channels = [2 * patch_size, *(max(8, round(width_multiplier * width)) for width in BLOCK_CHANNELS)]
        self.blocks = nn.Sequential(*(ConvBlock(*pair, depth=depth) for pair in pairwise(channels)))
        self.head = nn.Linear(channels[-1], class_count, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    @property
    def whitening_bias(self) -> nn.Parameter:
        """The only part of the first layer that learns, (24,)."""
        return cast("nn.Parameter", self.whitening.bias)

    @property
    def head_keys(self) -> tuple[str, ...]:
        """Names, in the state dict, of the last layer's tensors."""
        return ("head.weight",)

    def extract_features(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to the last feature map, (N, C, H // 8 - 1, W // 8 - 1) at 32 px.

        H and W are at least 16.
        """
        features = self.whitening(self.normalise(images))  # (N, 24, H - 1, W - 1)
        return cast("Tensor", self.blocks(functional.gelu(features)))

    def pool(self, feature_map: Tensor) -> Tensor:
        """Take the largest value of each channel: (N, C, h, w) → (N, C)."""
        return feature_map.amax(dim=(2, 3))

    def classify(self, feature_map: Tensor) -> Tensor:
        """Map a feature map (N, C, h, w) to logits (N, K): global max, linear head, scale 1 / C."""
        features = self.pool(feature_map)  # (N, C)
        return cast("Tensor", self.head(features)) / features.shape[1]

    def adapt_to(self, images: Tensor) -> None:
        """Whiten the first layer; see `whiten`."""
        self.whiten(images)

    def start_epoch(self, epoch: int, *, config: TrainConfig) -> None:
        """Let the whitening bias learn in the first epochs only."""
        super().start_epoch(epoch, config=config)
        self.whitening_bias.requires_grad = epoch < config.whitening_bias_epochs

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the first layer's filters to the whitening transform of the images' patches, and its negation.

        Args:
            images: (N, 3, H, W) float in [0, 1].
        """
        normalised = self.normalise(images)
        kernel = WHITENING_KERNEL
        patches = functional.unfold(normalised, kernel).transpose(1, 2).flatten(0, 1).double()  # (N * L, 12)
        covariance = patches.T @ patches / len(patches)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        scaled = eigenvectors.T / torch.sqrt(eigenvalues + WHITENING_EPSILON).unsqueeze(1)  # (12, 12)
        filters = scaled.view(-1, IMAGE_CHANNELS, kernel, kernel)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


def _dirac_conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Build a 3×3 convolution whose first filters pass their input channel through unchanged."""
    conv = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:channels_in])
    return conv

"""Networks by name: our own compact one, and every classification network of the timm library.

timm takes seconds to import, so it is imported when one of its networks is built, and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.engine.architectures import FAVOURITES, WHITENED_CNN, timm_architectures
from training.engine.config import TrainConfig
from training.engine.exceptions import ConfigError
from training.engine.networks.base import BATCH_NORMS, Network, count_parameters
from training.engine.networks.whitened_cnn import ScaledNorm, WhitenedCnn

if TYPE_CHECKING:
    from training.engine.networks.timm_network import TimmNetwork

__all__ = [
    "BATCH_NORMS",
    "Network",
    "ScaledNorm",
    "WhitenedCnn",
    "build_from_config",
    "build_network",
    "count_parameters",
]


def build_network(
    name: str, *, class_count: int, mean: Sequence[float], std: Sequence[float], **arguments: object
) -> Network:
    """Build an architecture by name; its layers are drawn from torch's global generator.

    Args:
        name: "whitened_cnn" or a timm name.
        class_count: Number of classes K.
        mean: Mean of each colour that is subtracted, in [0, 1].
        std: Standard deviation of each colour by which is divided.
        **arguments: What else the architecture takes: `Network.arguments`, as manifests keep them.

    Raises:
        ConfigError: The name is unknown, or the network cannot have the input size.
    """
    if name == WHITENED_CNN:
        return WhitenedCnn(class_count=class_count, mean=mean, std=std, **arguments)  # type: ignore[arg-type]
    if name not in timm_architectures():
        message = f"architecture is {name!r}; allowed is one of {', '.join(FAVOURITES)}, or another network of timm."
        raise ConfigError(message, field="architecture", value=name)
    from training.engine.networks.timm_network import TimmNetwork  # noqa: PLC0415 - see above

    return TimmNetwork(name, class_count=class_count, mean=mean, std=std, **arguments)  # type: ignore[arg-type]


def build_from_config(config: TrainConfig, *, class_count: int, mean: Sequence[float], std: Sequence[float]) -> Network:
    """Build the network of a run: its layers, the weights it starts from, and what of it is frozen.

    Args:
        config: The run's settings.
        class_count: Number of classes K.
        mean: Mean of each colour over the training images; pretrained weights bring their own.
        std: Standard deviation of each colour; likewise.

    Raises:
        ConfigError: The network cannot have the input size, or the weights file is missing or does not fit.
        NetworkError: Published weights are not in the cache and cannot be downloaded.
    """
    if config.architecture == WHITENED_CNN:
        return build_network(
            WHITENED_CNN,
            class_count=class_count,
            mean=mean,
            std=std,
            width_multiplier=config.width_multiplier,
            depth=config.depth,
        )
    network = build_network(
        config.architecture,
        class_count=class_count,
        mean=mean,
        std=std,
        stem=config.stem,
        input_size=config.input_size,
        dropout=config.dropout,
    )
    _prepare_timm_network(network, config=config)  # type: ignore[arg-type]  # any other name is one of timm's
    return network


def _prepare_timm_network(network: TimmNetwork, *, config: TrainConfig) -> None:
    """Load the weights and freeze the stages that a configuration names."""
    from training.engine.networks.pretrained import load_published_weights, load_weights_file  # noqa: PLC0415

    if config.pretrained == "imagenet":
        load_published_weights(network)
    elif config.pretrained == "file":
        load_weights_file(network, config.weights_file)
    network.freeze(config.frozen_stages)

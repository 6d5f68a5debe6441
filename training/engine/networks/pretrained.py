"""Weights to start from: timm's published ones, or a local safetensors file. Never a pickle."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import huggingface_hub
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from training.engine.exceptions import ConfigError, NetworkError
from training.engine.networks.timm_network import TimmNetwork, read_normalisation
from training.engine.package import is_disk_full

PUBLISHED_FILE: Final = "model.safetensors"


def load_published_weights(network: TimmNetwork) -> None:
    """Load timm's ImageNet weights from the library's cache, or download them; a head of other classes becomes zero.

    Args:
        network: A network with timm's own stem; it takes over the normalisation of the weights too.

    Raises:
        ConfigError: They do not fit the stem.
        NetworkError: They are not in the cache and cannot be downloaded.
    """
    repository = network.backbone.pretrained_cfg["hf_hub_id"]
    try:
        # timm names no revision; safetensors hold numbers and no code, and shapes are checked.
        path = huggingface_hub.hf_hub_download(repository, PUBLISHED_FILE)  # nosec B615
    except OSError as error:  # all of the library's errors are
        if is_disk_full(error):
            raise
        raise NetworkError(
            f"pretrained is 'imagenet', but the weights of {network.name} are not in the cache and cannot be "
            "downloaded; connect this machine, or choose pretrained=file and name a copy in weights_file."
        ) from error
    try:
        _load(network, Path(path))
    except ConfigError as error:
        stem = network.arguments["stem"]
        message = f"stem is {stem!r}; allowed with ImageNet weights of {network.name} is imagenet, their own."
        raise ConfigError(message, field="stem", value=stem) from error


def load_weights_file(network: TimmNetwork, path: str) -> None:
    """Load a safetensors file with timm's names; only the head may differ in shape, and then becomes zero.

    Args:
        network: It takes over the normalisation of timm's weights of this architecture too.
        path: The file.

    Raises:
        ConfigError: It is missing, is no safetensors file or does not fit.
    """
    _load(network, Path(path))


def _load(network: TimmNetwork, path: Path) -> None:
    """Read, compare and copy; a new head starts at zero (Kolesnikov et al. 2020, arXiv 1912.11370)."""
    state = _adapt(_read(path), network=network)
    expected: Mapping[str, Tensor] = network.backbone.state_dict()
    head = set(network.head_names)
    if any(name in state and state[name].shape != expected[name].shape for name in head):
        state = {name: tensor for name, tensor in state.items() if name not in head}
        # A random head first sends random gradients through weights that are worth keeping. With a frozen EfficientNet-
        # Lite0 on 2,500 images of CIFAR-10 the loss was 1.2 after 53 steps; from timm's own head it was 4.5 after 88.
        state |= {name: torch.zeros_like(expected[name]) for name in head}
    for name, tensor in expected.items():
        if name in head or name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            raise _unfit(network, path, f"{name} is missing")
        if state[name].shape != tensor.shape:
            raise _unfit(network, path, f"{name} is {tuple(state[name].shape)} instead of {tuple(tensor.shape)}")
    surplus = next((name for name in state if name not in expected and name not in head), None)
    if surplus is not None:
        raise _unfit(network, path, f"{surplus} is not part of the network")
    network.backbone.load_state_dict(state, strict=False)  # what may be missing was checked above
    mean, std = read_normalisation(network)
    network.set_normalisation(mean=mean, std=std)


def _read(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ConfigError: It is missing or damaged.
    """
    try:
        return load_file(path)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
        raise _refused(path, f"a file that can be read ({reason})") from error
    except SafetensorError as error:
        raise _refused(path, "an intact safetensors file") from error


def _adapt(state: dict[str, Tensor], *, network: TimmNetwork) -> dict[str, Tensor]:
    """Bring older names and position embeddings of another input size into the network's form, as timm does."""
    module = sys.modules[type(network.backbone).__module__]
    adapt = getattr(module, "checkpoint_filter_fn", None)
    return dict(adapt(state, network.backbone)) if adapt is not None else state


def _unfit(network: TimmNetwork, path: Path, difference: str) -> ConfigError:
    """Make the sentence for weights of other shapes."""
    stem = network.arguments["stem"]
    return _refused(path, f"weights of {network.name} with stem {stem}, only the head may differ ({difference})")


def _refused(path: Path, allowed: str) -> ConfigError:
    value = str(path)
    return ConfigError(f"weights_file is {value!r}; allowed is {allowed}.", field="weights_file", value=value)

"""A packaged network, built again from its manifest and its weights."""

from __future__ import annotations

from safetensors.torch import load_file

from training.engine.exceptions import PackageError
from training.engine.networks import Network, build_network
from training.engine.package import PackageManifest


def load_network(package: PackageManifest) -> Network:
    """Build the network of a verified package, in evaluation mode, on the CPU.

    Raises:
        ConfigError: Its architecture is unknown.
        PackageError: Its weights do not fit its architecture.
    """
    architecture = package.raw["architecture"]
    network = build_network(
        architecture["name"], mean=package.raw["mean"], std=package.raw["std"], **architecture["arguments"]
    )
    try:
        network.load_state_dict(load_file(package.weights_path))
    except RuntimeError as error:  # torch's for keys and shapes
        raise PackageError(f"The weights of {package.path} do not fit its {architecture['name']}.") from error
    return network.eval()

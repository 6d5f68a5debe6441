"""How fast each network classifies and learns: images a second, forward and with a whole training step.

    python -m bench.networks [--batch-size 128] [--rounds 5] [--networks NAME ...]

Random images of 32 px, on the device and in the precision that a run would choose; networks of the timm library with
stem cifar. Every round measures every network in turn, and medians are told.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import torch

from bench.machine import save_result
from training.engine.config import TrainConfig
from training.engine.device import Device, choose_device
from training.engine.memory import keep_freed_memory
from training.engine.networks import Network, build_from_config, count_parameters
from training.engine.step import Learner

CLASS_COUNT: Final = 10
TIMM_NETWORKS: Final = ("resnet18", "resnet34", "resnet50", "efficientnet_b0")
SETTINGS: Final[dict[str, dict[str, object]]] = {
    "fast": {"recipe": "fast"},
    "full width": {"recipe": "fast", "width_multiplier": 1.0},
    "accurate": {"recipe": "accurate"},
    **{name: {"recipe": "fast", "width_multiplier": 1.0, "architecture": name, "optimizer": "adamw"}
       for name in TIMM_NETWORKS},
}  # fmt: skip


class Candidate:
    """A network with everything that a step needs.

    Args:
        name: A key of `SETTINGS`.
        device: Where to compute.
        batch_size: Images in a step.
    """

    def __init__(self, name: str, *, device: Device, batch_size: int) -> None:
        self.name, self.device, self.batch_size = name, device, batch_size
        config = TrainConfig.from_dict({"dataset": "random", **SETTINGS[name]})
        torch.manual_seed(0)
        network: Network = build_from_config(config, class_count=CLASS_COUNT, mean=(0.5,) * 3, std=(0.25,) * 3)
        self.parameters = count_parameters(network)[0]
        self.network = network.to(device.torch_device).to(memory_format=torch.channels_last)
        self.learner = Learner(self.network, config=config, device=device)
        images = torch.rand(batch_size, 3, 32, 32, device=device.torch_device)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, CLASS_COUNT, (batch_size,), device=device.torch_device)
        self.forward_rates: list[float] = []
        self.step_rates: list[float] = []

    def measure(self) -> None:
        """Time one forward pass and one training step, in images a second."""
        self.forward_rates.append(self.batch_size / self._time(self._classify))
        self.step_rates.append(self.batch_size / self._time(self._learn))

    def _classify(self) -> None:
        self.network.eval()
        with torch.no_grad(), self.device.autocast():
            self.network(self.images)

    def _learn(self) -> None:
        self.network.train()
        self.learner.learn(self.images, self.labels)

    def _time(self, work: Callable[[], None]) -> float:
        started = time.perf_counter()
        work()
        if self.device.torch_device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", choices=tuple(SETTINGS), default=list(SETTINGS))
    arguments = parser.parse_args()
    keep_freed_memory()
    device = choose_device("auto")
    candidates = [Candidate(name, device=device, batch_size=arguments.batch_size) for name in arguments.networks]
    for number in range(arguments.rounds + 1):
        for candidate in candidates:
            candidate.measure()
            if number == 0:  # the first pass chooses kernels and fills caches
                candidate.forward_rates.clear()
                candidate.step_rates.clear()
    rows = [
        {
            "network": candidate.name,
            "parameters": candidate.parameters,
            "forward_images_per_second": statistics.median(candidate.forward_rates),
            "training_images_per_second": statistics.median(candidate.step_rates),
        }
        for candidate in candidates
    ]
    print(f"{'network':<16} {'parameters':>12} {'forward img/s':>14} {'training img/s':>15}")
    for row in rows:
        print(
            f"{row['network']:<16} {row['parameters']:>12,} {row['forward_images_per_second']:>14.0f} "
            f"{row['training_images_per_second']:>15.0f}"
        )
    save_result(
        "networks.json",
        {
            "rounds": arguments.rounds,
            "batch_size": arguments.batch_size,
            "networks": rows,
            "device": device.describe_hardware(),
        },
        packages=("torch", "timm"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each of two processes does in `test_ranks.py`: train small networks, and leave what came out in a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from tests.training.engine.tiny_data import tiny_config
from training.engine.config import TrainConfig
from training.engine.data import load_dataset
from training.engine.device import choose_device
from training.engine.exceptions import RankLostError
from training.engine.fit import Trainer
from training.engine.networks import Network, WhitenedCnn
from training.engine.ranks import Ranks
from training.engine.step import Learner

CASES: dict[str, dict[str, object]] = {
    "muon_sgd": {"optimizer": "muon_sgd", "accumulation_steps": 2, "gradient_clip": 1.0},
    "muon_adamw": {"optimizer": "muon_adamw", "bias_learning_rate": 0.01, "head_learning_rate": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "ema_decay": 0.5, "color_jitter": 0.4},
    "sgd": {"optimizer": "sgd", "gradient_clip": 0.5, "mixup_probability": 0.5, "cutmix_probability": 0.5},
}


class NormFree(Network):
    """Two convolutions and a linear layer: no statistic of a batch, so that half a batch is as good as a whole one."""

    def __init__(self, *, class_count: int, mean: Any, std: Any) -> None:
        super().__init__(mean=mean, std=std)
        self.arguments = {}
        self.convolutions = nn.ModuleList([nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.Conv2d(8, 8, 3)])
        self.head = nn.Linear(8, class_count)

    @property
    def head_keys(self) -> tuple[str, ...]:
        return ("head.weight", "head.bias")

    def extract_features(self, images: Tensor) -> Tensor:
        features = self.normalise(images)
        for convolution in self.convolutions:
            features = functional.gelu(convolution(features))
        return features

    def pool(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean(dim=(2, 3))

    def classify(self, feature_map: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(feature_map))
        return logits


def train_all(dataset_path: Path, folder: Path, *, ranks: Ranks) -> None:
    """Train each case, to its checkpoints under `folder`."""
    dataset = load_dataset(dataset_path)

    def build(_config: TrainConfig, **arguments: Any) -> Network:
        return NormFree(**arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.engine.fit.build_from_config", build)
        for name, changes in CASES.items():
            config = tiny_config(dataset_path, **{"precision": "float32", **changes})
            device = choose_device("float32", ranks=ranks)
            Trainer(config=config, dataset=dataset, device=device, workdir=folder / name, ranks=ranks).train()


def learn_with_norms(*, ranks: Ranks) -> dict[str, Tensor]:
    """Take one step with batch norms, and return the state."""
    torch.manual_seed(0)
    network = WhitenedCnn(class_count=3, mean=[0.5] * 3, std=[0.2] * 3, width_multiplier=0.0625).train()
    config = tiny_config(Path("d"), precision="float32")
    learner = Learner(network, config=config, device=choose_device("float32", ranks=ranks), ranks=ranks)
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.rand(12, 3, 16, 16, generator=generator), torch.arange(12) % 3
    sums = learner.learn(ranks.share(images), ranks.share(labels))
    return {**{name: tensor.contiguous() for name, tensor in network.state_dict().items()}, "sums": sums}


def main(dataset_path: Path, folder: Path) -> None:
    """Train, then have the second process fail and the first one say what it heard of it."""
    torch.set_num_threads(1)
    ranks = Ranks.join()
    train_all(dataset_path, folder, ranks=ranks)
    save_file(learn_with_norms(ranks=ranks), folder / f"norms-{ranks.rank}.safetensors")
    wishes = [ranks.agree(ranks.rank == 1), ranks.agree(wish=False)]
    (folder / f"agreed-{ranks.rank}").write_text(str(wishes))
    if not ranks.is_first:
        ranks.tell_failure("out_of_memory", "Too little.")
        os._exit(1)  # as the engine ends it: an orderly end of a broken group may abort
    try:
        ranks.agree(wish=False)
    except RankLostError as error:
        (folder / "lost").write_text(f"{error} {ranks.read_failure()}")
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""A training step never makes the CPU wait for the device: no value is read back, no count depends on values.

On a GPU each of these operations would stop the interpreter until all queued kernels are done. Here they are caught on
the CPU, by the names under which they would run there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.engine.tiny_data import tiny_config, write_dataset
from training.engine.data import Dataset, load_dataset
from training.engine.device import choose_device
from training.engine.fit import Trainer

WAITING = {
    torch.ops.aten._local_scalar_dense,
    torch.ops.aten._linalg_check_errors,
    torch.ops.aten.masked_select,
    torch.ops.aten.nonzero,
    torch.ops.aten.unique_dim,
    torch.ops.aten._unique2,
    torch.ops.aten.equal,
}

CASES: dict[str, dict[str, object]] = {
    "fast": {},
    "accumulation": {"accumulation_steps": 3, "gradient_clip": 0.5},
    "muon_adamw": {"optimizer": "muon_adamw", "bias_learning_rate": 0.01, "head_learning_rate": 0.01},
    "sgd": {"optimizer": "sgd", "gradient_clip": 1.0},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01},
    "mixup": {"mixup_probability": 1.0},
    "cutmix": {"cutmix_probability": 1.0},
    "augmentation": {"flip_mode": "random", "cutout": 8, "color_jitter": 0.4, "erasing_probability": 0.5},
    "zero_fill": {"crop_fill": "zero"},
    "average": {"ema_decay": 0.5},
}


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses every operation that hands a value from the device to the interpreter.

    Args:
        counters: Tensors that stay on the CPU wherever the network is.
    """

    def __init__(self, counters: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counters = counters

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(args and args[0] is counter for counter in self.counters):
            if isinstance(result, torch.Tensor):
                self.counters.append(result)
        elif func.overloadpacket in WAITING:
            raise AssertionError(f"{func} makes the CPU wait for the device")
        return result


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("waiting") / "data"))


def take_steps(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take three steps, the last two of which may not wait."""
    trainer.network.start_epoch(0, config=trainer.config)
    rows = torch.arange(16)
    trainer._train_step(rows, size=16, epoch=0)
    trainer.position.step += 1
    counters = [state["step"] for _, _, state in trainer.learner.named_states() if "step" in state]
    if trainer.selection.average is not None:
        counters.append(trainer.selection.average.n_averaged)

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("torch.tensor sends values from pageable memory, which waits for the device")

    monkeypatch.setattr(torch, "tensor", refuse)
    with NoWaiting(counters):
        for _ in range(2):
            trainer._train_step(rows, size=16, epoch=0)
            trainer.position.step += 1


@pytest.mark.parametrize("case", CASES)
def test_a_step_never_waits_for_the_device(
    case: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(dataset.path, precision="float32", **CASES[case])
    take_steps(Trainer(config=config, dataset=dataset, device=choose_device("float32"), workdir=tmp_path), monkeypatch)


def test_waiting_is_caught(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(
        config=tiny_config(dataset.path), dataset=dataset, device=choose_device("float32"), workdir=tmp_path
    )
    learn = trainer.learner.learn

    def learn_and_look(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        sums = learn(images, targets)
        return sums if sums[0] > 0 else -sums

    trainer.learner.learn = learn_and_look  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="_local_scalar_dense"):
        take_steps(trainer, monkeypatch)

"""Which weights a run measures and packages, and when it has seen enough: averages, the best epoch, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.engine.config import TrainConfig
from training.engine.early_stopping import EarlyStopping, Plateau

_AVERAGE_PREFIX: Final = "average."
_BEST_PREFIX: Final = "best."


class Selection:
    """Follows a network through its training.

    The moving average begins at the weights after the first step and includes the running statistics of normalisation.
    Source: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv 1703.01780 (exponential).

    Args:
        network: The network in training.
        config: Average, early stopping, plateau schedule and which weights are tested.
    """

    def __init__(self, network: nn.Module, *, config: TrainConfig) -> None:
        self.network, self.config = network, config
        self.average: AveragedModel | None = None
        if config.ema_decay:
            self.average = AveragedModel(network, multi_avg_fn=make_average(config.ema_decay), use_buffers=True)
        self.best: dict[str, Tensor] = {}
        self.best_accuracy = -1.0
        self.best_epoch: int | None = None
        self.epochs_run = 0
        self.early_stopping = self._make_watch(config.early_stopping_patience)
        self.plateau = Plateau(self._make_watch(config.plateau_patience))

    @property
    def measured(self) -> nn.Module:
        """The network whose figures count: the average where there is one."""
        return self.network if self.average is None else self.average.module

    @property
    def is_over(self) -> bool:
        """Whether the run shall end early."""
        return self.config.early_stopping_patience > 0 and self.early_stopping.is_time

    def follow_step(self) -> None:
        """Take the weights of one more step into the average."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def follow_epoch(self, *, loss: float | None, accuracy: float | None) -> None:
        """Take the validation figures of one more epoch; None where nothing is set aside for validation."""
        self.epochs_run += 1
        if loss is None or accuracy is None:
            return
        figure = loss if self.config.monitor == "validation_loss" else accuracy
        if self.config.early_stopping_patience:
            self.early_stopping.observe(figure)
        if self.config.schedule == "plateau":
            self.plateau.observe(figure)
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.best_epoch = accuracy, self.epochs_run
            if self.config.tested_weights == "best":
                self.best = {name: tensor.clone() for name, tensor in self.measured.state_dict().items()}

    def summarize(self) -> dict[str, int | None]:
        """Return how many epochs were run, and which, counted from 1, had the best validation accuracy, for a manifest.

        The run stopped early where fewer epochs were run than were configured.
        """
        return {"epochs_run": self.epochs_run, "best_epoch": self.best_epoch}

    def conclude(self) -> None:
        """Give the network the weights that are to be tested."""
        self.network.load_state_dict(self.best or self.measured.state_dict())

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the average and the best weights, for a checkpoint."""
        average = {} if self.average is None else self.average.state_dict()
        return {
            **{f"{_AVERAGE_PREFIX}{name}": tensor for name, tensor in average.items()},
            **{f"{_BEST_PREFIX}{name}": tensor for name, tensor in self.best.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the rest of what changes during a run, ready for JSON."""
        return {
            "best_accuracy": self.best_accuracy,
            **self.summarize(),
            "early_stopping": self.early_stopping.state_dict(),
            "plateau": self.plateau.state_dict(),
        }

    def load(self, *, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from what `state_tensors` and `state_dict` returned; other tensors are ignored."""
        if self.average is not None:
            self.average.load_state_dict(strip(tensors, prefix=_AVERAGE_PREFIX))
        here = self.network.state_dict()
        best = strip(tensors, prefix=_BEST_PREFIX)
        self.best = {name: here[name].clone().copy_(tensor) for name, tensor in best.items()}
        self.best_accuracy = state["best_accuracy"]
        self.best_epoch, self.epochs_run = state["best_epoch"], state["epochs_run"]
        self.early_stopping.load_state_dict(state["early_stopping"])
        self.plateau.load_state_dict(state["plateau"])

    def _make_watch(self, patience: int) -> EarlyStopping:
        mode: Any = "min" if self.config.monitor == "validation_loss" else "max"
        return EarlyStopping(patience=patience, min_delta=self.config.min_delta, mode=mode)


def make_average(decay: float) -> Callable[..., None]:
    """Return how tensors of one type move towards those of the latest step; indices and counters become these.

    Args:
        decay: Share of the average that stays.
    """
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def follow(averages: list[Tensor], latest: list[Tensor], count: Tensor) -> None:
        if averages[0].is_floating_point():
            move(averages, latest, count)
        else:
            torch._foreach_copy_(averages, latest)

    return follow


def strip(tensors: Mapping[str, Tensor], *, prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

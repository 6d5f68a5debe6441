"""Optimizers: for the compact network Muon for filters and Nesterov SGD for the rest, for all others SGD alone.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/); for convolutions with normalised filters, airbench94_muon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast, overload

import torch
from torch import Tensor, nn

from training.engine.config import TrainConfig
from training.engine.networks import Network, WhitenedCnn

NEWTON_SCHULZ_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
"""Quintic with the steepest slope at zero; singular values end in about [0.7, 1.2] (Jordan et al. 2024)."""

NEWTON_SCHULZ_STEPS: Final = 3
"""Enough for this network (airbench94_muon); large language models take 5."""


def orthogonalize(matrix: Tensor, *, steps: int = NEWTON_SCHULZ_STEPS, dtype: torch.dtype = torch.float32) -> Tensor:
    """Approximate the nearest semi-orthogonal matrix, U Vᵀ of the singular value decomposition U S Vᵀ.

    Args:
        matrix: (R, C) float.
        steps: Newton–Schulz iterations.
        dtype: Arithmetic of the iterations.

    Returns:
        (R, C) in the matrix's own dtype.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if is_tall else matrix).to(dtype)
    x = x / (x.norm() + 1e-7)  # the largest singular value is now at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if is_tall else x
    return result.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: each filter bank takes a step of equal length in all its directions.

    Before each step a filter bank (O, I, k, k) is rescaled to Frobenius norm √O, so the learning rate is the length
    of a step relative to the weights. Normalisation behind each convolution makes the rescaling harmless.

    Args:
        parameters: Tensors of at least two dimensions.
        lr: Length of a step.
        momentum: Nesterov momentum in [0, 1).
        dtype: Arithmetic of the orthogonalisation.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; closures are not supported and must be None."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, lr=group["lr"], momentum=group["momentum"])
        return None

    def _update(self, parameter: Tensor, *, lr: float, momentum: float) -> None:
        """Take one step along the orthogonalised Nesterov momentum."""
        gradient = cast("Tensor", parameter.grad)
        state: dict[str, Any] = self.state[parameter]
        buffer: Tensor = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        buffer.mul_(momentum).add_(gradient)
        direction = gradient.add(buffer, alpha=momentum)
        update = orthogonalize(direction.flatten(1), dtype=self.dtype).view_as(parameter)
        parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        parameter.add_(update, alpha=-lr)


def build_optimizers(network: Network, *, config: TrainConfig, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Give every learning parameter to an optimizer; `initial_lr` of each group remembers its peak rate.

    Args:
        network: The network to train.
        config: Rates, momenta and weight decay.
        dtype: Arithmetic of Muon's orthogonalisation.
    """
    if isinstance(network, WhitenedCnn):
        optimizers = _build_for_whitened_cnn(network, config=config, dtype=dtype)
    else:
        learning: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        optimizers = [_build_sgd([("all", learning, config.learning_rate)], config=config)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def loss_scale(network: Network, *, batch_size: int) -> float:
    """Return what the summed loss of a batch is multiplied by before its gradients are taken.

    The compact network's rates belong to the sum (Jordan 2024), those of all others to the mean.
    """
    return 1.0 if isinstance(network, WhitenedCnn) else 1.0 / batch_size


def _build_for_whitened_cnn(
    network: WhitenedCnn, *, config: TrainConfig, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Give filters to Muon, biases and head to SGD.

    The whitening bias is a group of its own, named "whitening", because it learns for fewer epochs.
    """
    filters = [p for p in network.blocks.parameters() if p.ndim == 4]
    biases: list[Tensor] = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    groups: list[tuple[str, list[Tensor], float]] = [
        ("whitening", [network.whitening_bias], config.bias_learning_rate),
        ("biases", biases, config.bias_learning_rate),
        ("head", [network.head.weight], config.head_learning_rate),
    ]
    muon = Muon(filters, lr=config.learning_rate, momentum=config.muon_momentum, dtype=dtype)
    muon.param_groups[0]["name"] = "filters"
    return [muon, _build_sgd(groups, config=config)]


def _build_sgd(groups: list[tuple[str, list[Tensor], float]], *, config: TrainConfig) -> torch.optim.SGD:
    """Build Nesterov SGD of groups (name, parameters, peak rate) that shrink by the weight decay at any rate."""
    decay = config.weight_decay * config.batch_size  # of the parameter, per step; SGD multiplies it by the rate
    return torch.optim.SGD(
        [
            {"name": name, "params": params, "lr": rate, "weight_decay": decay / rate if rate else 0.0}
            for name, params, rate in groups
        ],
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )

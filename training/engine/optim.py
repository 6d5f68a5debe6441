"""Optimizers: AdamW, Adam and Nesterov SGD for a whole network, or Muon for its filters and SGD or AdamW for the rest.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/); for convolutions with normalised filters, airbench94_muon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast, overload

import torch
from torch import Tensor, nn

from training.engine.compilation import compile_for
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
        self.orthogonalize = compile_for(self.param_groups[0]["params"][0].device, orthogonalize)

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
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"]
        buffer.mul_(momentum).add_(gradient)
        direction = gradient.add(buffer, alpha=momentum)
        update = self.orthogonalize(direction.flatten(1), dtype=self.dtype).view_as(parameter)
        parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        parameter.add_(update, alpha=-lr)


def build_optimizers(network: nn.Module, *, config: TrainConfig, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Build the optimizers of everything that learns; `initial_lr` of each group remembers its peak rate.

    The group named "whitening", if there is one, is scheduled apart, because it learns for fewer epochs. Norms and
    biases are never decayed by AdamW, Adam or SGD alone (He et al. 2019, arXiv 1812.01187).

    Args:
        network: The network to train; what needs no gradient is left out.
        config: Optimizer, rates, momenta and weight decay.
        dtype: Arithmetic of Muon's orthogonalisation.
    """
    if config.optimizer.startswith("muon_"):
        optimizers = _build_muon(network, config=config, dtype=dtype)
    else:
        optimizers = [_build_single(network, config=config)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _build_single(network: nn.Module, *, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the one optimizer of every weight; matrices and filters are decayed, norms and biases are not."""
    groups: list[dict[str, Any]] = []
    for stage, rate in _divide_by_depth(network, config=config):
        learning = [p for p in stage if p.requires_grad]
        groups += [
            {"name": name, "params": params, "lr": rate, "weight_decay": decay}
            for name, params, decay in (
                ("weights", [p for p in learning if p.ndim > 1], config.weight_decay),
                ("biases", [p for p in learning if p.ndim <= 1], 0.0),
            )
            if params
        ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate)
    nesterov = config.momentum > 0
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=nesterov)


def _divide_by_depth(network: nn.Module, *, config: TrainConfig) -> list[tuple[list[nn.Parameter], float]]:
    """Return the parameters that share a rate, with their peak rate; the head's, which is reported, come first.

    Early layers hold what all pictures have in common and are changed less than late ones. Source: Howard & Ruder 2018,
    arXiv 1801.06146 (discriminative fine-tuning); Clark et al. 2020, arXiv 2003.10555 (one factor per layer).
    """
    if config.layer_decay == 1:
        return [(list(network.parameters()), config.learning_rate)]
    stages = cast("Network", network).parameters_by_depth()
    return [(stage, config.learning_rate * config.layer_decay**depth) for depth, stage in enumerate(stages)]


def _build_muon(network: nn.Module, *, config: TrainConfig, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Give convolutions without a bias, which normalisation follows, to Muon and the rest to SGD or AdamW."""
    whitening = [network.whitening_bias] if isinstance(network, WhitenedCnn) else []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.bias is None]
    filters = [conv.weight for conv in convolutions if conv.weight.requires_grad]
    taken = {id(parameter) for parameter in (*whitening, *filters)}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in taken]
    named = [
        ("whitening", whitening, config.bias_learning_rate),
        ("biases", [p for p in others if p.ndim <= 1], config.bias_learning_rate),
        ("head", [p for p in others if p.ndim > 1], config.head_learning_rate),
    ]
    groups: list[dict[str, Any]] = [
        {"name": name, "params": params, "lr": rate} for name, params, rate in named if params
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if filters:  # a frozen backbone has none
        muon = Muon(filters, lr=config.learning_rate, momentum=config.muon_momentum, dtype=dtype)
        muon.param_groups[0]["name"] = "filters"
        optimizers.append(muon)
    if config.optimizer == "muon_adamw":
        return [*optimizers, torch.optim.AdamW(groups, weight_decay=config.weight_decay)]
    decay = config.weight_decay * config.batch_size  # of the parameter, per step; SGD multiplies it by the rate
    for group in groups:
        group["weight_decay"] = decay / group["lr"] if group["lr"] else 0.0
    return [*optimizers, torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.momentum > 0)]

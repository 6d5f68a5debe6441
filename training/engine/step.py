"""One optimizer step: forward, loss, backward, clipping, update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.engine.compilation import compile_for
from training.engine.config import TrainConfig
from training.engine.device import Device
from training.engine.networks import BATCH_NORMS
from training.engine.optim import build_optimizers
from training.engine.ranks import Ranks

_PREFIX: Final = "optimizer."


class Learner:
    """Takes the steps, and holds what they change besides the network: the optimizers and the loss scaler.

    Args:
        network: Maps (N, 3, S, S) float in [0, 1] to (N, K) logits.
        config: Optimizer, clipping, accumulation and label smoothing.
        device: Where the network is, and in which precision to compute.
        ranks: The processes that take the same steps, each on its share of a batch.
    """

    def __init__(self, network: nn.Module, *, config: TrainConfig, device: Device, ranks: Ranks | None = None) -> None:
        self.network, self.config, self.device, self.ranks = network, config, device, ranks or Ranks()
        self.forward = compile_for(device.torch_device, network)
        muon_dtype = torch.bfloat16 if device.precision == "bfloat16" else torch.float32  # float16 would underflow
        self.optimizers = build_optimizers(network, config=config, dtype=muon_dtype)
        self.parameters = [parameter for _, parameter, _ in self.named_states()]
        self.norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
        self.scaler = torch.amp.GradScaler(device.torch_device.type, enabled=device.precision == "float16")

    @property
    def learning_rate(self) -> float:
        """The rate of the first group, which is what a run reports."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    def learn(self, images: Tensor, targets: Tensor) -> Tensor:
        """Learn from one batch, in `accumulation_steps` parts.

        Args:
            images: (N, 3, S, S) float in [0, 1], of this process.
            targets: (N,) int64 labels, or (N, K) float shares of the classes.

        Returns:
            (2,) float64 on the device, over the batch of all processes: summed loss, and images whose largest logit is
            at their (largest) class.
        """
        parts, total = self.config.accumulation_steps, len(images) * self.ranks.size
        sums = torch.stack(
            [
                self._accumulate(*part, total=total)
                for part in zip(images.chunk(parts), targets.chunk(parts), strict=True)
            ]
        ).sum(dim=0)
        if self.ranks.size > 1:
            self._exchange(sums)
        if self.config.gradient_clip:
            self._clip(total)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)  # skipped where float16 overflowed
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return sums

    def named_states(self) -> Iterator[tuple[str, nn.Parameter, dict[str, Any]]]:
        """Yield every parameter that an optimizer owns, with its name and its state there."""
        owners = {parameter: o for o in self.optimizers for group in o.param_groups for parameter in group["params"]}
        for name, parameter in self.network.named_parameters():
            if parameter in owners:
                yield name, parameter, owners[parameter].state[parameter]

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the optimizers' tensors as `optimizer.PARAMETER.KEY`."""
        return {
            f"{_PREFIX}{name}.{key}": value
            for name, _, state in self.named_states()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what `state_tensors` returned; other names are ignored."""
        states = {name: (parameter, state) for name, parameter, state in self.named_states()}
        for full_name, tensor in tensors.items():
            if full_name.startswith(_PREFIX):
                name, _, key = full_name.removeprefix(_PREFIX).rpartition(".")
                parameter, state = states[name]
                # Moments lie in memory as their parameter does; Adam's counter is a CPU scalar.
                state[key] = tensor.clone() if key == "step" else torch.empty_like(parameter).copy_(tensor)

    def _accumulate(self, images: Tensor, targets: Tensor, *, total: int) -> Tensor:
        """Add the gradient of a part of a batch of `total` images; return its summed loss and hits."""
        with self.device.autocast():
            logits: Tensor = self.forward(images).float()
        smoothing = self.config.label_smoothing
        loss = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
        objective = loss if self._is_summed else loss / total
        self.scaler.scale(objective).backward()  # type: ignore[no-untyped-call]
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        return torch.stack([loss.detach().double(), hits.double()])

    @property
    def _is_summed(self) -> bool:
        """Whether rates are meant for the loss summed over a batch, as Jordan 2024 has them; else for the mean."""
        return self.config.optimizer == "muon_sgd"

    def _exchange(self, sums: Tensor) -> None:
        """Make gradients and `sums` those of all processes, and the statistics of normalisation their mean."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norms = [norm for norm in self.norms if norm.training]  # frozen ones measure nothing
        statistics = [
            tensor for norm in norms for tensor in (norm.running_mean, norm.running_var) if tensor is not None
        ]
        self.ranks.add_up([*gradients, *statistics, sums])
        for tensor in statistics:
            tensor.div_(self.ranks.size)

    def _clip(self, count: int) -> None:
        """Shorten the gradient of the mean loss over `count` images to the longest norm allowed."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        longest = self.config.gradient_clip * (count if self._is_summed else 1)
        nn.utils.clip_grad_norm_(self.parameters, longest)

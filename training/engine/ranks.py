"""The processes that train together: each takes its share of a batch, and they add up what they learned.

Every process holds the whole network and takes the same steps, because the gradients are summed over all of them
before each. Source: Li et al. 2020, arXiv 2006.15704 (data parallel training in PyTorch).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, cast

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from training.engine.exceptions import RankLostError, Reason
from training.engine.launch import is_rank

PATIENCE: Final = timedelta(minutes=10)
"""How long to wait for the others in one exchange; longer than a validation or a checkpoint of the first takes."""

_FAILURE: Final = "failure"


class Ranks:
    """The processes that train together, as one of them sees them. By default it is alone.

    Args:
        rank: Number of this process, from 0; the first alone writes files and speaks.
        size: Number of processes.
        local_rank: Number of this process on its machine, and of its graphics card.
        local_size: Number of processes on this machine.
        store: What all of them can read and write while the first one lives.
    """

    def __init__(
        self, *, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1, store: Store | None = None
    ) -> None:
        self.rank, self.size, self.local_rank, self.local_size = rank, size, local_rank, local_size
        self._store = store
        self._is_joined = size > 1

    @classmethod
    def join(cls) -> Ranks:
        """Meet the others, if this process was started as one of several.

        Without LOCAL_RANK and LOCAL_WORLD_SIZE it is the only one on its machine.

        Raises:
            RankLostError: The others do not come.
        """
        if not is_rank() or os.environ["WORLD_SIZE"] == "1":
            return cls()
        try:
            store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        except RuntimeError as error:
            raise RankLostError(_describe_loss(os.environ["WORLD_SIZE"])) from error
        local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return cls(rank=rank, size=size, local_rank=local_rank, local_size=local_size, store=store)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch (N, …), whose N the number of processes divides."""
        return batch.tensor_split(self.size)[self.rank] if self._is_joined else batch

    def agree(self, wish: bool) -> bool:  # noqa: FBT001 - the whole question
        """Return whether any process wishes it; all must ask, and the graphics card is not waited for."""
        if not self._is_joined:
            return wish
        votes = torch.tensor([int(wish)])
        self._exchange(votes, dist.all_reduce)
        return bool(votes.item())

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, the same to the last bit in each.

        Args:
            tensors: As many, of the same shapes, in every process.

        Raises:
            RankLostError: Another process is gone.
        """
        self._together(tensors, dist.all_reduce)

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process; arguments and errors as in `add_up`."""
        self._together(tensors, lambda tensor: dist.broadcast(tensor, src=0))

    def tell_failure(self, reason: Reason, detail: str) -> None:
        """Leave word of why this process ends, for the first one to tell."""
        if self._store is not None and not self.is_first:
            with suppress(RuntimeError):  # the first one may be gone
                self._store.set(_FAILURE, json.dumps([reason, detail]))

    def read_failure(self) -> tuple[Reason, str] | None:
        """Return why another process ended, if it left word."""
        if self._store is None or not self._store.check([_FAILURE]):
            return None
        reason, detail = json.loads(self._store.get(_FAILURE))
        return cast("Reason", reason), str(detail)

    def leave(self) -> None:
        """Part from the others when all have finished; from here on this process is alone."""
        if self._is_joined:
            dist.destroy_process_group()
            self._is_joined, self._store = False, None

    def _together(self, tensors: Sequence[Tensor], operation: Callable[[Tensor], object]) -> None:
        """Apply a collective operation to tensors, in one exchange for each of their types."""
        if not self._is_joined:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # in the same order everywhere
            alike = [tensor.detach() for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in alike])
            self._exchange(flat, operation)
            for tensor, values in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(values.view(tensor.shape))

    def _exchange(self, tensor: Tensor, operation: Callable[[Tensor], object]) -> None:
        """Apply one collective operation.

        Raises:
            RankLostError: Another process is gone.
        """
        try:
            operation(tensor)
        except RuntimeError as error:
            raise RankLostError(_describe_loss(str(self.size))) from error


def _describe_loss(size: str) -> str:
    return (
        f"One of the {size} processes that train together ended unexpectedly, and the others cannot go on without it."
    )

"""Compiling what a training step does on a GPU, where small kernels wait for the interpreter that starts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def compile_for(device: torch.device, function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does the same, compiled where that pays: on CUDA, when it is first called.

    A module keeps its own names and parameters; only what is returned is compiled. The first size of images gets
    kernels of its own and the second one kernels for any size, so that growing crops are compiled twice. What cannot
    be compiled, for want of a C compiler say, runs as it is, and a warning says so.

    Args:
        device: Where it will compute.
        function: A module, or a function of tensors.
    """
    if device.type != "cuda":
        return function
    torch._dynamo.config.suppress_errors = True
    compiled: Callable[P, R] = torch.compile(function)
    return compiled

"""What a run says when memory ran out: where, how much there was, what was tried and what to change."""

from __future__ import annotations

import errno
from typing import Final

import torch

from training.engine.config import TrainConfig
from training.engine.machine_memory import Memory, advise_less_memory, read_machine_memory

MARKS: Final = ("out of memory", "can't allocate memory", "std::bad_alloc", "alloc_failed")
"""What torch's errors say; on a CPU, and within NVIDIA's libraries, they have no type of their own."""

GPU_MARKS: Final = ("cuda", "cublas", "cudnn")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the graphics card or in the machine."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    is_told = isinstance(error, RuntimeError) and any(mark in str(error).lower() for mark in MARKS)
    return isinstance(error, MemoryError) or is_told


def explain_shortage(error: BaseException, *, config: TrainConfig | None) -> str:
    """Return one sentence for a person.

    Args:
        error: One that `is_out_of_memory`.
        config: What was tried; None when it was not even read.
    """
    on_gpu = any(mark in str(error).lower() for mark in GPU_MARKS)
    memory = _read_gpu_memory() if on_gpu else read_machine_memory()
    sentence = f"The memory of the {'GPU' if on_gpu else 'machine'} is not enough"
    if memory is not None:
        sentence += f" ({memory} are free)"
    return f"{sentence}." if config is None else f"{sentence}: {advise_less_memory(config.to_dict())}."


def _read_gpu_memory() -> Memory | None:
    """Return the current card's memory, as it is while the failed step still holds its own; None where it is broken."""
    try:
        return Memory(*torch.cuda.mem_get_info())
    except (AssertionError, RuntimeError):  # torch without CUDA; a context that the failure has left unusable
        return None

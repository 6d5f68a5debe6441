"""A run that needs more memory than there is says so, with what was tried and what was found."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from tests.training.engine.tiny_data import tiny_config
from training.engine import out_of_memory
from training.engine.machine_memory import Memory
from training.engine.out_of_memory import explain_shortage, is_out_of_memory
from training.engine.run import explain_failure

ON_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
IN_CUBLAS = RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
IN_CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
ON_CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
ADVICE = (
    "batch_size 16 with accumulation_steps 1 was tried; "
    "lower batch_size, raise accumulation_steps or lower width_multiplier."
)


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend how much memory there is."""
    monkeypatch.setattr(out_of_memory, "read_machine_memory", lambda: Memory(free=2**29, total=8 * 2**30))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**28, 24 * 2**30))


@pytest.mark.parametrize(
    "error",
    [
        *(ON_GPU, IN_CUBLAS, IN_CUDNN, ON_CPU),
        *(MemoryError(), RuntimeError("std::bad_alloc"), OSError(errno.ENOMEM, "Cannot allocate")),
    ],
)
def test_a_lack_of_memory_is_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert explain_failure(error)[0] == "out_of_memory"


@pytest.mark.parametrize("error", [RuntimeError("shape"), OSError(errno.ENOENT, "out of memory"), ValueError()])
def test_other_errors_are_not_mistaken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ON_GPU, "The memory of the GPU is not enough (0.2 of 24.0 GiB are free)"),
        (IN_CUBLAS, "The memory of the GPU is not enough (0.2 of 24.0 GiB are free)"),
        (IN_CUDNN, "The memory of the GPU is not enough (0.2 of 24.0 GiB are free)"),
        (ON_CPU, "The memory of the machine is not enough (0.5 of 8.0 GiB are free)"),
    ],
)
def test_the_sentence_names_what_was_found_tried_and_can_be_changed(error: BaseException, found: str) -> None:
    assert explain_shortage(error, config=tiny_config(Path("d"))) == f"{found}: {ADVICE}"
    assert explain_shortage(error, config=None) == f"{found}."


def test_a_card_that_no_longer_answers_is_not_asked_for_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    assert explain_shortage(ON_GPU, config=None) == "The memory of the GPU is not enough."


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)

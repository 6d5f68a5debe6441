"""The device of a run and its precision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from training.engine import device
from training.engine.device import choose_device, list_versions, reference_device, send
from training.engine.exceptions import ConfigError
from training.engine.ranks import Ranks


@pytest.fixture(autouse=True)
def _no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("flags", "asked", "precision"),
    [
        ("fma avx2 avx512_bf16", "auto", "bfloat16"),
        ("fma avx2 amx_bf16", "auto", "bfloat16"),
        ("fma avx2 avx512f", "auto", "float32"),
        ("", "auto", "float32"),
        ("avx512_bf16", "float32", "float32"),
        ("", "bfloat16", "bfloat16"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_computes_it(
    monkeypatch: pytest.MonkeyPatch, flags: str, asked: str, precision: str
) -> None:
    monkeypatch.setattr(device, "_cpu_field", lambda name: {"flags": flags, "model name": "A processor"}[name])
    chosen = choose_device(asked)
    assert (chosen.torch_device.type, chosen.name, chosen.precision) == ("cpu", "A processor", precision)


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    chosen = choose_device(precision)
    matrix = torch.rand(4, 4)
    with chosen.autocast():
        assert (matrix @ matrix).dtype == chosen.dtype == dtype


def test_reference_is_the_processor_in_float32() -> None:
    reference = reference_device()
    assert (reference.torch_device.type, reference.precision) == ("cpu", "float32")


def test_hardware_is_described() -> None:
    description = choose_device("float32").describe_hardware()
    assert description["precision"] == "float32"
    assert description["threads"] == torch.get_num_threads()


def test_versions_name_the_libraries_that_shape_a_model() -> None:
    assert {"python", "torch", "openvino", "onnx"} <= set(list_versions())


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Pretend that there are two CUDA devices; return the numbers of those that are made current."""
    taken: list[int] = []
    answers: dict[str, object] = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "set_device": taken.append,
        "get_device_name": lambda card: f"Card {card.index}",
        "is_bf16_supported": lambda **_options: True,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    for name in ("benchmark", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
    precision = torch.get_float32_matmul_precision()
    yield taken
    torch.set_float32_matmul_precision(precision)


def test_each_process_takes_a_card_of_its_own(two_cards: list[int]) -> None:
    chosen = choose_device("auto", ranks=Ranks(rank=3, size=4, local_rank=1, local_size=2))
    assert (chosen.torch_device, chosen.name, chosen.precision) == (torch.device("cuda", 1), "Card 1", "bfloat16")
    assert two_cards == [1]
    assert chosen.describe_hardware()["processes"] == 4


def test_more_processes_than_cards_are_refused(two_cards: list[int]) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device("auto", ranks=Ranks(rank=0, size=3, local_rank=0, local_size=3))
    assert str(caught.value) == "devices is 3; allowed is at most 2 on this machine, the number of its GPUs."
    assert two_cards == []


@pytest.mark.parametrize(("precision", "is_mixed"), [("float32", False), ("bfloat16", True), ("float16", True)])
@pytest.mark.usefixtures("two_cards")
def test_float32_is_not_shortened_to_tf32(precision: str, is_mixed: bool) -> None:
    choose_device(precision)
    assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.allow_tf32 is is_mixed
    assert torch.get_float32_matmul_precision() == ("high" if is_mixed else "highest")


def test_what_stays_on_the_processor_is_not_copied() -> None:
    tensor = torch.arange(3)
    assert send(tensor, torch.device("cpu")) is tensor

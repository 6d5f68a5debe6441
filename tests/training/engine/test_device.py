"""The device of a run and its precision."""

from __future__ import annotations

import pytest
import torch

from training.engine import device
from training.engine.device import choose_device, list_versions, reference_device


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

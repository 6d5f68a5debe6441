"""Where a run computes and in which precision, and how that is told in manifests."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch

Precision = Literal["float32", "bfloat16", "float16"]

REPORTED_PACKAGES: Final = ("torch", "numpy", "onnx", "onnxscript", "openvino", "safetensors", "timm")


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a run.

    Attributes:
        torch_device: Where tensors live.
        name: Model of the processor or the graphics card.
        precision: Arithmetic of convolutions and matrix products.
    """

    torch_device: torch.device
    name: str
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch knows it."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def autocast(self) -> torch.autocast:
        """Return a context in which convolutions and matrix products run in the precision."""
        is_mixed = self.precision != "float32"
        return torch.autocast(self.torch_device.type, dtype=self.dtype if is_mixed else None, enabled=is_mixed)

    def describe_hardware(self) -> dict[str, Any]:
        """Return what a manifest tells about the machine."""
        return {
            "device": self.torch_device.type,
            "device_name": self.name,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "cpu_count": os.cpu_count(),
            "machine": platform.machine(),
        }


def reference_device() -> Device:
    """Return the CPU in float32: where a finished model is measured, whatever it was trained on."""
    return Device(torch_device=torch.device("cpu"), name=_cpu_name(), precision="float32")


def choose_device(precision: str) -> Device:
    """Take the first CUDA device when there is one, else the CPU.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto" for bfloat16 where the hardware computes it.
    """
    if torch.cuda.is_available():
        chosen, name = torch.device("cuda"), torch.cuda.get_device_name()
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        chosen, name = torch.device("cpu"), _cpu_name()
        has_bfloat16 = _cpu_computes_bfloat16()
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16 else "float32"
    return Device(torch_device=chosen, name=name, precision=cast("Precision", precision))


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape a model."""
    return {"python": platform.python_version(), **{name: version(name) for name in REPORTED_PACKAGES}}


def _cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags as Linux lists them; empty elsewhere."""
    return frozenset(_cpu_field("flags").split())


def _cpu_computes_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; without that, autocast is slower than float32."""
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "avx_ne_convert"})


def _cpu_name() -> str:
    """Return the processor's model name."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def _cpu_field(name: str) -> str:
    """Return a field of the first processor in /proc/cpuinfo, or an empty text."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")

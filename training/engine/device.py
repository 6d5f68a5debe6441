"""Where a run computes and in which precision, and how that is told in manifests."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from torch import Tensor

from training.engine.exceptions import ConfigError
from training.engine.ranks import Ranks

Precision = Literal["float32", "bfloat16", "float16"]

REPORTED_PACKAGES: Final = ("torch", "numpy", "onnx", "onnxscript", "openvino", "safetensors", "timm")


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a run.

    Attributes:
        torch_device: Where tensors live.
        name: Model of the processor or the graphics card.
        precision: Arithmetic of convolutions and matrix products.
        processes: Number of processes that train together, each on a device of its own.
    """

    torch_device: torch.device
    name: str
    precision: Precision
    processes: int = 1

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
            "processes": self.processes,
            "threads": torch.get_num_threads(),
            "cpu_count": os.cpu_count(),
            "machine": platform.machine(),
        }


def reference_device() -> Device:
    """Return the CPU in float32: where a finished model is measured, whatever it was trained on."""
    return Device(torch_device=torch.device("cpu"), name=_cpu_name(), precision="float32")


def choose_device(precision: str, *, ranks: Ranks | None = None) -> Device:
    """Take a CUDA device when there is one, else the CPU.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto" for bfloat16 where the hardware computes it.
        ranks: The processes that train together, each of which takes a CUDA device of its own.

    Raises:
        ConfigError: There are fewer CUDA devices than processes.
    """
    ranks = ranks or Ranks()
    if torch.cuda.is_available():
        chosen = _take_cuda_device(ranks)
        name = torch.cuda.get_device_name(chosen)
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        chosen, name = torch.device("cpu"), _cpu_name()
        has_bfloat16 = _cpu_computes_bfloat16()
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16 else "float32"
    if chosen.type == "cuda":
        _set_up_cuda(is_mixed=precision != "float32")
    return Device(torch_device=chosen, name=name, precision=cast("Precision", precision), processes=ranks.size)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU in a device's memory, without waiting for what the device is doing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _take_cuda_device(ranks: Ranks) -> torch.device:
    """Make the card with this process's number the one that it uses.

    Raises:
        ConfigError: There is none.
    """
    count = torch.cuda.device_count()
    if ranks.local_size > count:
        message = f"devices is {ranks.local_size}; allowed is at most {count} on this machine, the number of its GPUs."
        raise ConfigError(message, field="devices", value=ranks.local_size)
    torch.cuda.set_device(ranks.local_rank)
    return torch.device("cuda", ranks.local_rank)


def _set_up_cuda(*, is_mixed: bool) -> None:
    """Choose the fastest kernels by trying them; what is asked to be float32 is not shortened to TF32.

    Which kernel wins can differ between two runs, and some add in varying order: on CUDA a resumed run ends with the
    same weights up to rounding, not to the last bit.
    """
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = is_mixed
    torch.set_float32_matmul_precision("high" if is_mixed else "highest")


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

"""The only door to OpenVINO, opened without its telemetry."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE, ONNX_INPUT, ONNX_LOGITS
from training.engine.package import PackageManifest

# `import openvino` reports itself to its maker through this package; without it OpenVINO falls back on a silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python bars an import

import openvino  # noqa: E402

_CORE = openvino.Core()
_IMAGE_SHAPE = (1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)


class _Request:
    """One inference request and the memory it reads from and writes to."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401  # the package ships no types
        self._request = compiled.create_infer_request()
        self.image: NDArray[np.float32] = np.zeros(_IMAGE_SHAPE, dtype=np.float32)
        self._request.set_tensor(ONNX_INPUT, openvino.Tensor(self.image, shared_memory=True))

    def infer(self) -> NDArray[np.float32]:
        """Return the (K,) logits of `image`; the interpreter's lock is free meanwhile."""
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_tensor(ONNX_LOGITS).data[0].copy()
        return logits


class Network:
    """A compiled model package. Any number of threads may ask it at once.

    One image at a time, in a fixed shape: on two cores batches gain less than 10 % per image, and a shape that may
    change costs as much.
    """

    def __init__(self, package: PackageManifest, *, threads: int, precision: str) -> None:
        """Compile the package's graph for the CPU.

        Args:
            package: a verified package.
            threads: CPU threads of one inference.
            precision: `f32`, or `bf16` on processors that are faster with it.

        Raises:
            RuntimeError: OpenVINO cannot read the graph.
        """
        model = _CORE.read_model(package.onnx_path)
        model.reshape({ONNX_INPUT: list(_IMAGE_SHAPE)})
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._compiled = _CORE.compile_model(model, "CPU", options)
        self._idle: list[_Request] = []  # append and pop are atomic

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the (N, K) logits of (N, 32, 32, 3) uint8 images."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = _Request(self._compiled)
        try:
            return np.stack([self._ask(request, image) for image in images])
        finally:
            self._idle.append(request)

    @staticmethod
    def _ask(request: _Request, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        # (32, 32, 3) → (3, 32, 32), 0…255 → 0…1; float32 division, as at training time
        np.divide(image.transpose(2, 0, 1), np.float32(255), out=request.image[0])
        return request.infer()

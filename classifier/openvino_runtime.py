"""The only door to OpenVINO, opened without its telemetry."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE, ONNX_FEATURE_MAP, ONNX_INPUT, ONNX_LOGITS
from training.engine.package import PackageManifest

# `import openvino` reports itself to its maker through this package; without it OpenVINO falls back on a silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python bars an import

import openvino  # noqa: E402

BATCH: Final = 8
"""Images of one inference where batches are faster."""

_CORE = openvino.Core()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network computes.

    Attributes:
        precision: `f32`, or `bf16` on processors that are faster with it.
        threads: CPU threads of one inference.
        batch_from: as many images or more, up to `BATCH`, are inferred in one go; None: each alone.
    """

    precision: str = "f32"
    threads: int = 1
    batch_from: int | None = None


def is_fast_in_bf16() -> bool:
    """Whether this processor has instructions for bfloat16; elsewhere it would only be emulated."""
    return "BF16" in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class _Request:
    """One inference request and the memory it reads from and writes to."""

    def __init__(self, compiled: Any, shape: tuple[int, ...]) -> None:  # noqa: ANN401  # the package ships no types
        self._request = compiled.create_infer_request()
        self.images: NDArray[np.float32] = np.zeros(shape, dtype=np.float32)
        self._request.set_tensor(ONNX_INPUT, openvino.Tensor(self.images, shared_memory=True))

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the (n, K) logits of (n, 32, 32, 3) images; the interpreter's lock is free while it computes."""
        # (n, 32, 32, 3) → (n, 3, 32, 32), 0…255 → 0…1; float32 division, as at training time
        np.divide(pixels.transpose(0, 3, 1, 2), np.float32(255), out=self.images[: len(pixels)])
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_tensor(ONNX_LOGITS).data[: len(pixels)].copy()
        return logits

    def feature_map(self) -> NDArray[np.float32]:
        """Return the (N, C, h, w) feature map of the latest inference."""
        feature_map: NDArray[np.float32] = self._request.get_tensor(ONNX_FEATURE_MAP).data.copy()
        return feature_map


class FeatureNetwork:
    """A package's graph with both its outputs, for one image at a time in float32 on one thread.

    Any number of threads may ask it at once.
    """

    def __init__(self, package: PackageManifest) -> None:
        """Compile the graph.

        Raises:
            RuntimeError: OpenVINO cannot read it.
        """
        self._shape = (1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
        self._compiled = _compile(package, shape=self._shape, plan=Plan())

    def infer(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the (K,) logits and the (C, h, w) feature map of a (32, 32, 3) image."""
        request = _Request(self._compiled, self._shape)
        return request.infer(pixels[None])[0], request.feature_map()[0]


def _compile(package: PackageManifest, *, shape: tuple[int, ...], plan: Plan) -> Any:  # noqa: ANN401  # no types
    model = _CORE.read_model(package.onnx_path)
    model.reshape({ONNX_INPUT: list(shape)})
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": plan.threads,
        "INFERENCE_PRECISION_HINT": plan.precision,
    }
    return _CORE.compile_model(model, "CPU", options)


class _Graph:
    """A package's graph, compiled for a fixed number of images: a shape that may change costs a tenth."""

    def __init__(self, package: PackageManifest, *, images: int, plan: Plan) -> None:
        self._shape = (images, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
        self._compiled = _compile(package, shape=self._shape, plan=plan)
        self._idle: list[_Request] = []  # append and pop are atomic

    def infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the (n, K) logits of at most as many images as the graph was compiled for."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = _Request(self._compiled, self._shape)
        try:
            return request.infer(pixels)
        finally:
            self._idle.append(request)


class Network:
    """A compiled model package. Any number of threads may ask it at once; they are served one after the other."""

    def __init__(self, package: PackageManifest, *, plan: Plan) -> None:
        """Compile the package's graph for the CPU.

        Args:
            package: a verified package.
            plan: how it shall compute.

        Raises:
            RuntimeError: OpenVINO cannot read the graph.
        """
        self.plan = plan
        self._single = _Graph(package, images=1, plan=plan)
        self._batch = None if plan.batch_from is None else _Graph(package, images=BATCH, plan=plan)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the (N, K) logits of (N, 32, 32, 3) uint8 images."""
        done: list[NDArray[np.float32]] = []
        left = images
        while self._batch is not None and self.plan.batch_from is not None and len(left) >= self.plan.batch_from:
            done.append(self._batch.infer(left[:BATCH]))
            left = left[BATCH:]
        done += [self._single.infer(left[index : index + 1]) for index in range(len(left))]
        return np.concatenate(done)

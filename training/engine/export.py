"""From a trained network to the two weight files of a model package, and the proof that they answer alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import openvino
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from safetensors.torch import save_file
from torch import Tensor, nn

from training.engine.constants import (
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    ONNX_FEATURE_MAP,
    ONNX_INPUT,
    ONNX_LOGITS,
    ONNX_OPSET,
)
from training.engine.exceptions import DivergedError, ParityError
from training.engine.networks import Network

LOGIT_TOLERANCE: Final = 1e-3
"""Largest allowed |Δ logit| between torch and OpenVINO, both in float32; measured differences are near 1e-5."""

PARITY_BATCH_SIZE: Final = 250


@dataclass(frozen=True, slots=True)
class Parity:
    """How closely the exported graph follows the network.

    Attributes:
        images: Number of images compared.
        max_abs_logit_difference: Largest absolute difference of a logit.
        top1_identical: Whether the largest logit is at the same class for every image.
        tolerance: Largest difference that is accepted.
    """

    images: int
    max_abs_logit_difference: float
    top1_identical: bool
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's `parity`."""
        return asdict(self)


class _Served(nn.Module):
    """The network with both outputs of the served graph."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, 3, 32, 32) in [0, 1] to logits (N, K) and the feature map (N, C, h, w)."""
        feature_map = self.network.extract_features(images)
        return self.network.classify(feature_map), feature_map


@torch.no_grad()
def round_weights(network: Network) -> None:
    """Round parameters and running statistics to float16, in place: what is stored is what is measured.

    Raises:
        DivergedError: A weight exceeds float16's range.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            rounded = tensor.half()
            if not torch.isfinite(rounded).all():
                raise DivergedError(f"The trained weights of {name} are too large for float16.")
            tensor.copy_(rounded)


def save_weights(network: Network, path: Path) -> None:
    """Store parameters and running statistics as float16 safetensors; counters keep their type."""
    state = network.state_dict()
    save_file({k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}, path)


def export_onnx(network: Network, path: Path) -> None:
    """Write the served graph: float32 arithmetic, float16 storage, any batch size, normalisation inside.

    Args:
        network: On the CPU, in evaluation mode, its weights rounded by `round_weights`.
        path: File to write.
    """
    example = torch.rand(2, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing a caller can act on
        program = torch.onnx.export(
            _Served(network).eval(),
            (example,),
            input_names=[ONNX_INPUT],
            output_names=[ONNX_LOGITS, ONNX_FEATURE_MAP],
            opset_version=ONNX_OPSET,
            dynamo=True,
            dynamic_shapes={ONNX_INPUT: {0: torch.export.Dim("batch")}},
            optimize=False,  # it would fold norms into filters, which float16 then no longer holds exactly
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program.")
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    model = store_float16(strip_metadata(program.model_proto))
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def strip_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the exporter's notes from a graph, in place: they hold stack traces with the machine's paths."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def store_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 initializers as float16 where that loses nothing, with a cast back to float32 behind each.

    Args:
        model: A graph; it is changed in place and returned.
    """
    graph = model.graph
    casts = []
    for initializer in graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        if not np.array_equal(values.astype(np.float16).astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [f"{name}.float16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def check_parity(path: Path, *, images: Tensor, logits: Tensor) -> Parity:
    """Compare the graph, run by OpenVINO in float32, with the network's logits.

    Args:
        path: The ONNX file.
        images: (N, 3, 32, 32) float32 in [0, 1].
        logits: (N, K) float32, the network's answers to them.

    Raises:
        ParityError: A logit differs by more than `LOGIT_TOLERANCE`, or a best class differs.
    """
    answers = torch.from_numpy(run_onnx(path, images=images.numpy()))
    parity = Parity(
        images=len(images),
        max_abs_logit_difference=(answers - logits).abs().max().item(),
        top1_identical=bool((answers.argmax(dim=1) == logits.argmax(dim=1)).all()),
        tolerance=LOGIT_TOLERANCE,
    )
    if not (parity.top1_identical and parity.max_abs_logit_difference <= LOGIT_TOLERANCE):
        raise ParityError(
            f"The exported graph differs from the network: logits by up to {parity.max_abs_logit_difference:.3g} "
            f"where {LOGIT_TOLERANCE:g} is allowed, best classes {'alike' if parity.top1_identical else 'not alike'}."
        )
    return parity


def run_onnx(path: Path, *, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the graph's logits (N, K) for images (N, 3, 32, 32) in [0, 1], computed by OpenVINO in float32."""
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    output = compiled.output(ONNX_LOGITS)
    batches: Sequence[NDArray[np.float32]] = np.array_split(images, -(-len(images) // PARITY_BATCH_SIZE))
    return np.concatenate([compiled(batch)[output] for batch in batches])

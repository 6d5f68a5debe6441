"""The exported graph answers like the network, stores float16 and tells nothing about the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file

from training.engine.exceptions import DivergedError, ParityError
from training.engine.export import check_parity, export_onnx, round_weights, save_weights
from training.engine.networks import WhitenedCnn


@pytest.fixture(scope="module")
def network() -> WhitenedCnn:
    torch.manual_seed(0)
    made = WhitenedCnn(class_count=10, mean=[0.5] * 3, std=[0.25] * 3, width_multiplier=0.25)
    images = torch.rand(64, 3, 32, 32)
    made.whiten(images)
    with torch.no_grad():
        made(images)  # gives the running statistics values of their own
    round_weights(made)
    return made.eval()


@pytest.fixture(scope="module")
def path(network: WhitenedCnn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(network, made)
    return made


def test_a_thousand_images_get_the_same_logits(network: WhitenedCnn, path: Path) -> None:
    images = torch.rand(1000, 3, 32, 32)
    with torch.no_grad():
        logits = network(images)
    parity = check_parity(path, images=images, logits=logits)
    assert (parity.images, parity.top1_identical, parity.tolerance) == (1000, True, 1e-3)
    assert parity.max_abs_logit_difference < 1e-5


def test_both_outputs_and_any_batch_size(network: WhitenedCnn, path: Path) -> None:
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count in (1, 5):
        images = torch.rand(count, 3, 32, 32)
        answers = compiled(images.numpy())
        with torch.no_grad():
            feature_map = network.extract_features(images)
        assert answers["logits"].shape == (count, 10)
        assert np.allclose(answers["feature_map"], feature_map.numpy(), atol=1e-4)


def test_every_weight_is_stored_as_float16(path: Path) -> None:
    weights = [tensor for tensor in onnx.load(path).graph.initializer if tensor.data_type != TensorProto.INT64]
    assert {tensor.data_type for tensor in weights} == {TensorProto.FLOAT16}
    assert sum(numpy_helper.to_array(tensor).size for tensor in weights) > 120_000


def test_graph_holds_no_path_of_the_machine(path: Path) -> None:
    content = path.read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(__file__).parents[3]).encode() not in content


def test_wrong_logits_fail_parity(network: WhitenedCnn, path: Path) -> None:
    images = torch.rand(10, 3, 32, 32)
    with torch.no_grad():
        logits = network(images)
    with pytest.raises(ParityError, match=r"logits by up to 0\.5.* where 0\.001 is allowed, best classes alike"):
        check_parity(path, images=images, logits=logits + 0.5)
    with pytest.raises(ParityError, match="best classes not alike"):
        check_parity(path, images=images, logits=-logits)


def test_stored_weights_are_the_measured_ones(network: WhitenedCnn, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "weights.safetensors")
    stored = load_file(tmp_path / "weights.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    for name, tensor in network.state_dict().items():
        assert torch.equal(stored[name].to(tensor.dtype), tensor)


def test_weight_beyond_float16_is_an_error() -> None:
    network = WhitenedCnn(class_count=2, mean=[0.5] * 3, std=[0.25] * 3, width_multiplier=0.0625)
    with torch.no_grad():
        network.head.weight[0, 0] = 1e6
    with pytest.raises(DivergedError, match=r"weights of head\.weight are too large for float16"):
        round_weights(network)

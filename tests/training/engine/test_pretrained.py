"""Weights to start from: taken over but for the head, or refused with one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from tests.training.engine.tiny_data import tiny_config
from training.engine.exceptions import ConfigError, NetworkError
from training.engine.networks import build_from_config
from training.engine.networks.timm_network import TimmNetwork

LITE0 = "tf_efficientnet_lite0"
TEST_DATA = os.environ.get("CIFARSITE_TEST_DATA")


def build(weights_file: Path | None = None, *, class_count: int = 3, **overrides: object) -> TimmNetwork:
    """Build a run's network."""
    source = {"pretrained": "file", "weights_file": str(weights_file)} if weights_file else {}
    small = {"architecture": "test_resnet", "width_multiplier": 1.0, "stem": "imagenet", "optimizer": "adamw"}
    config = tiny_config(Path("d"), **{**small, **source, **overrides})
    torch.manual_seed(1)
    network = build_from_config(config, class_count=class_count, mean=[0.1] * 3, std=[0.2] * 3)
    assert isinstance(network, TimmNetwork)
    return network


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Store the weights of a network of seven classes."""
    path = tmp_path / "weights.safetensors"
    state = build(class_count=7).backbone.state_dict()
    save_file({name: torch.rand_like(t) if t.is_floating_point() else t for name, t in state.items()}, path)
    return path


def test_all_but_a_head_of_another_shape_is_taken_over(weights: Path) -> None:
    network, stored, fresh = build(weights), load_file(weights), build()
    state = network.backbone.state_dict()
    assert [
        name for name in state if name not in network.head_names and not torch.equal(state[name], stored[name])
    ] == []
    assert {tuple(p.shape): p.count_nonzero().item() for p in network.backbone.fc.parameters()} == {(3, 96): 0, (3,): 0}
    assert network.normalisation == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert fresh.normalisation == ((0.1, 0.1, 0.1), (0.2, 0.2, 0.2))


def test_a_head_of_the_same_shape_is_taken_over_too(weights: Path) -> None:
    assert torch.equal(build(weights, class_count=7).backbone.fc.weight, load_file(weights)["fc.weight"])


def test_stages_are_frozen_as_configured(weights: Path) -> None:
    network = build(weights, frozen_stages=-1)
    assert [name for name, p in network.named_parameters() if p.requires_grad] == [
        "backbone.fc.weight",
        "backbone.fc.bias",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(ConfigError) as caught:
        build(path)
    assert str(caught.value) == f"weights_file is '{path}'; allowed is a file that can be read (no such file)."
    assert (caught.value.field, caught.value.value) == ("weights_file", str(path))


def test_a_damaged_file_is_named(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="allowed is an intact safetensors file"):
        build(weights)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("shape", r"layer1.0.conv1.weight is \(1, 2\) instead of \(\d+, \d+, \d+, \d+\)"),
        ("missing", "layer1.0.conv1.weight is missing"),
        ("surplus", "blocks.0.weight is not part of the network"),
    ],
)
def test_other_shapes_are_named(weights: Path, change: str, difference: str) -> None:
    state = load_file(weights)
    name = "layer1.0.conv1.weight"
    match change:
        case "shape":
            state[name] = torch.zeros(1, 2)
        case "missing":
            del state[name]
        case _:
            state["blocks.0.weight"] = torch.zeros(1)
    save_file(state, weights)
    allowed = "allowed is weights of test_resnet with stem imagenet, only the head may differ"
    with pytest.raises(ConfigError, match=rf"^weights_file is '.+'; {allowed} \({difference}\)\.$"):
        build(weights)


def test_without_a_network_the_alternative_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(NetworkError) as caught:
        build(pretrained="imagenet")
    assert str(caught.value) == (
        "pretrained is 'imagenet', but the weights of test_resnet are not in the cache and cannot be downloaded; "
        "connect this machine, or choose pretrained=file and name a copy in weights_file."
    )


def test_published_weights_are_loaded_from_the_cache(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def find_in_cache(*names: str) -> str:
        asked.append(names)
        return str(weights)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", find_in_cache)
    network = build(pretrained="imagenet")
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]
    assert torch.equal(network.backbone.bn1.bias, load_file(weights)["bn1.bias"])


@pytest.mark.skipif(TEST_DATA is None, reason="CIFARSITE_TEST_DATA names no folder of pretrained weights")
def test_real_imagenet_weights_bring_their_normalisation() -> None:
    path = Path(TEST_DATA or "") / "tf_efficientnet_lite0.in1k.safetensors"
    network = build(path, architecture=LITE0, class_count=1000, input_size=64)
    assert network.normalisation == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    stored = load_file(path)
    assert torch.equal(network.backbone.classifier.weight, stored["classifier.weight"].float())
    assert build(path, architecture=LITE0, class_count=10, frozen_stages=3).backbone.classifier.out_features == 10

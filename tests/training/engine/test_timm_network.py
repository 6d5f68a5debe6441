"""timm's networks behind our few functions: shapes, stems, sizes, dropout, freezing and export."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from training.engine.architectures import ALL_STAGES
from training.engine.exceptions import ConfigError
from training.engine.export import check_parity, export_onnx, round_weights
from training.engine.networks import build_network, count_parameters
from training.engine.networks.timm_network import TimmNetwork

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def make_network(name: str = "test_resnet", **arguments: object) -> TimmNetwork:
    torch.manual_seed(0)
    network = build_network(name, class_count=10, mean=MEAN, std=STD, **arguments)
    assert isinstance(network, TimmNetwork)
    return network


@pytest.mark.parametrize(("stem", "count"), [("imagenet", 11_181_642), ("cifar", 11_181_642 - 64 * 3 * (49 - 9))])
def test_parameters_of_resnet18_with_ten_classes(stem: str, count: int) -> None:
    network = make_network("resnet18", stem=stem)
    assert count_parameters(network) == (count, count)
    side = {"imagenet": 1, "cifar": 4}[stem]
    assert network.eval().extract_features(torch.rand(1, 3, 32, 32)).shape == (1, 512, side, side)


def test_the_cifar_stem_is_three_by_three_with_stride_one_and_no_pool() -> None:
    backbone = make_network("resnet18", stem="cifar").backbone
    assert (backbone.conv1.kernel_size, backbone.conv1.stride, backbone.conv1.padding) == ((3, 3), (1, 1), (1, 1))
    assert isinstance(backbone.maxpool, nn.Identity)


def test_filters_that_fit_the_cifar_stem_are_kept() -> None:
    kept, plain = (make_network("test_efficientnet", stem=stem) for stem in ("cifar", "imagenet"))
    assert torch.equal(kept.backbone.conv_stem.weight, plain.backbone.conv_stem.weight)
    assert (kept.backbone.conv_stem.stride, plain.backbone.conv_stem.stride) == ((1, 1), (2, 2))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_logits_follow_from_the_feature_map_as_timm_computes_them(name: str) -> None:
    network = make_network(name, input_size=64).eval()
    images = torch.rand(2, 3, 32, 32)
    feature_map = network.extract_features(images)
    assert (feature_map.ndim, feature_map.shape[0]) == (4, 2)
    seen = functional.interpolate((images - network.mean) / network.std, size=(64, 64), mode="bilinear")
    assert torch.allclose(network.classify(feature_map), network.backbone(seen), atol=1e-5)
    assert torch.allclose(network(images), network.backbone(seen), atol=1e-5)
    features = network.get_features(images)
    assert torch.allclose(network.backbone.get_classifier()(features), network(images), atol=1e-5)


def test_dropout_acts_before_the_head_and_in_training_only() -> None:
    network = make_network(dropout=0.5)
    feature_map = torch.rand(4, *network.extract_features(torch.rand(2, 3, 32, 32)).shape[1:])
    pooled = network.train().pool(feature_map)
    assert 0.3 < (pooled == 0).float().mean().item() < 0.7
    assert (network.eval().pool(feature_map) != 0).all()
    assert make_network().backbone.drop_rate == 0.2  # the default


def test_frozen_stages_and_their_norms_stay_as_they_are() -> None:
    network = make_network()
    network.freeze(2)
    stages = network.stages
    learning = {name for name, p in network.backbone.named_parameters() if p.requires_grad}
    assert learning == {*network.head_names, *(name for stage in stages[2:] for name in stage)}
    network.train()
    assert network.backbone.bn1.training is False
    assert network.backbone.layer4[0].bn1.training is True
    before = network.backbone.bn1.running_mean.clone()
    network(torch.rand(4, 3, 32, 32))
    assert torch.equal(network.backbone.bn1.running_mean, before)


def test_all_stages_frozen_leave_the_head() -> None:
    network = make_network()
    network.freeze(ALL_STAGES)
    assert {name for name, p in network.backbone.named_parameters() if p.requires_grad} == {"fc.weight", "fc.bias"}
    assert not any(m.training for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_more_frozen_stages_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        make_network().freeze(9)
    assert str(caught.value) == "frozen_stages is 9; allowed is 0 to 5, or -1 for all, for test_resnet."


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("test_vit", {"stem": "cifar"}, r"^stem is 'cifar'; allowed is imagenet for test_vit, whose first layer"),
        ("inception_v3", {}, r"^input_size is 32; allowed is a size that inception_v3 can divide into its stages \("),
        (
            "deit_tiny_distilled_patch16_224",
            {},
            r"^architecture is 'deit_tiny_distilled_patch16_224'; allowed is a network that classifies by",
        ),
        ("coat_tiny", {}, r"^architecture is 'coat_tiny'; allowed is a network that classifies by a feature map\.$"),
    ],
)
def test_what_only_the_built_network_tells_is_refused_too(
    name: str, arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_network(name, **arguments)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            TypeError("unexpected keyword"),
            "architecture is 'test_resnet'; allowed is a network that can be built and asked with input_size 32 "
            "(TypeError: unexpected keyword).",
        ),
        (
            ZeroDivisionError(),
            "architecture is 'test_resnet'; allowed is a network that can be built and asked with input_size 32 "
            "(ZeroDivisionError: ZeroDivisionError).",
        ),
        (
            RuntimeError("odd\nmore"),
            "input_size is 32; allowed is a size that test_resnet can divide into its stages (odd).",
        ),
    ],
)
def test_whatever_a_network_fails_with_becomes_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ConfigError) as caught:
        make_network()
    assert str(caught.value) == sentence


def test_a_lack_of_memory_is_not_blamed_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(torch.OutOfMemoryError):
        make_network()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_graph_takes_32_pixels_and_answers_alike(name: str, tmp_path: Path) -> None:
    network = make_network(name, input_size=48 if name == "test_resnet" else 64).eval()
    network.requires_grad_(requires_grad=False)
    round_weights(network)
    export_onnx(network, tmp_path / "model.onnx")
    images = torch.rand(20, 3, 32, 32)
    parity = check_parity(tmp_path / "model.onnx", images=images, logits=network(images))
    assert (parity.images, parity.top1_identical) == (20, True)

"""The network's shape, its first layer and its initialisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.engine.exceptions import ConfigError
from training.engine.networks import ScaledNorm, WhitenedCnn, build_network, count_parameters

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def make_network(width_multiplier: float = 1.0, depth: int = 2) -> WhitenedCnn:
    torch.manual_seed(0)
    return WhitenedCnn(class_count=10, mean=MEAN, std=STD, width_multiplier=width_multiplier, depth=depth)


def test_two_million_parameters_of_which_filters_biases_and_head_learn() -> None:
    total, trainable = count_parameters(make_network())
    fixed_scales, whitening_filters = 2 * (64 + 256 + 256), 24 * 3 * 2 * 2
    assert (total, total - trainable) == (1_972_792, fixed_scales + whitening_filters)


@pytest.mark.parametrize(("size", "side"), [(16, 1), (20, 2), (24, 2), (28, 3), (32, 3)])
def test_any_even_size_gives_logits(size: int, side: int) -> None:
    network = make_network(0.125).eval()
    images = torch.rand(2, 3, size, size)
    assert network.extract_features(images).shape == (2, 32, side, side)
    assert network(images).shape == (2, 10)


def test_twice_the_width_has_four_times_the_filters() -> None:
    network = make_network(2.0)
    assert sum(p.numel() for p in network.blocks.parameters() if p.ndim == 4) == 9 * (
        24 * 128 + 128 * 128 + 128 * 512 + 3 * 512 * 512
    )


def test_width_multiplies_channels() -> None:
    assert [block.conv2.out_channels for block in make_network(0.25).blocks] == [16, 64, 64]  # type: ignore[union-attr]


def test_normalisation_is_inside() -> None:
    network = make_network(0.125)
    seen: list[torch.Tensor] = []
    network.whitening.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    images = torch.rand(2, 3, 32, 32)
    network(images)
    expected = torch.stack([(images[:, c] - MEAN[c]) / STD[c] for c in range(3)], dim=1)
    assert torch.allclose(seen[0], expected, atol=1e-6)


def test_whitening_gives_patches_unit_covariance() -> None:
    network = make_network(0.125)
    images = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    images = functional.avg_pool2d(images, 3, stride=1)  # neighbouring pixels correlate, as in photographs
    network.whiten(images)
    filters = network.whitening.weight
    normalised = ((images - network.mean) / network.std).numpy()
    patches = np.lib.stride_tricks.sliding_window_view(normalised, (2, 2), axis=(2, 3))  # (N, 3, H, W, 2, 2)
    rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12).astype(np.float64)
    outputs = rows @ filters[:12].detach().double().flatten(1).numpy().T
    eigenvalues = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    expected = np.diag(eigenvalues / (eigenvalues + 5e-4))  # one, but for directions with hardly any variance
    assert np.allclose(outputs.T @ outputs / len(rows), expected, atol=1e-5)
    assert torch.equal(filters[12:], -filters[:12])


def test_dirac_filters_pass_their_channel_through() -> None:
    conv = make_network(0.125).blocks[1].conv1
    features = torch.rand(1, 8, 6, 6)
    assert torch.equal(conv(features)[:, :8], features)  # type: ignore[operator]


def test_two_convolutions_in_a_block_follow_one_another() -> None:
    block: Any = make_network(0.125).blocks[1].eval()
    features = torch.rand(2, 8, 6, 6)
    pooled = functional.max_pool2d(block.conv1(features), 2)
    first = functional.gelu(block.norm1(pooled))
    assert torch.equal(block(features), functional.gelu(block.norm2(block.conv2(first))))


def test_more_convolutions_in_a_block_learn_what_is_added_to_the_first() -> None:
    block: Any = make_network(0.125, depth=3).blocks[1].eval()
    features = torch.rand(2, 8, 6, 6)
    pooled = functional.max_pool2d(block.conv1(features), 2)
    first = functional.gelu(block.norm1(pooled))
    second = functional.gelu(block.norm2(block.conv2(first)))
    assert torch.equal(block(features), functional.gelu(block.norm3(block.conv3(second)) + first))


def test_scales_stay_one_and_only_biases_learn() -> None:
    norm = ScaledNorm(4)
    assert (norm.weight.requires_grad, norm.bias.requires_grad) == (False, True)
    assert torch.equal(norm.weight, torch.ones(4))


def test_head_starts_with_unit_deviation_and_logits_are_scaled() -> None:
    network = make_network()
    assert network.head.weight.std().item() == pytest.approx(1.0)
    feature_map = torch.rand(2, 256, 3, 3)
    expected = feature_map.flatten(2).max(dim=2).values @ network.head.weight.T / 256
    assert torch.allclose(network.classify(feature_map), expected)


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigError, match="architecture is 'vit'; allowed is one of whitened_cnn, resnet18,"):
        build_network("vit", class_count=2, mean=MEAN, std=STD, width_multiplier=1.0)

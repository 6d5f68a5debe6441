"""Muon against a direct computation, and the division of parameters between the optimizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.engine.tiny_data import tiny_config
from training.engine.networks import WhitenedCnn, build_network
from training.engine.networks.timm_network import TimmNetwork
from training.engine.optim import Muon, build_optimizers, orthogonalize


def random_matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (12, 12)])
def test_iteration_keeps_singular_vectors_and_maps_singular_values(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    u, values, vt = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    assert np.allclose(orthogonalize(matrix).numpy(), u * values @ vt, atol=1e-5)


def test_five_steps_are_nearly_orthogonal() -> None:
    values = torch.linalg.svdvals(orthogonalize(random_matrix(16, 64), steps=5))
    assert 0.6 < values.min().item() <= values.max().item() < 1.25


def test_scale_of_the_gradient_does_not_matter() -> None:
    matrix = random_matrix(8, 16)
    assert torch.allclose(orthogonalize(1000 * matrix), orthogonalize(matrix), atol=1e-5)


def test_zero_gradient_gives_zero_update() -> None:
    assert torch.equal(orthogonalize(torch.zeros(4, 6)), torch.zeros(4, 6))


def test_bfloat16_agrees_roughly_and_returns_float32() -> None:
    matrix = random_matrix(16, 64)
    result = orthogonalize(matrix, dtype=torch.bfloat16)
    assert result.dtype == torch.float32
    assert (result - orthogonalize(matrix)).norm() / result.norm() < 0.05


def test_three_steps_equal_a_direct_computation() -> None:
    weights = random_matrix(6, 36).view(6, 4, 3, 3)
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = Muon([parameter], lr=0.1, momentum=0.6)
    momentum = torch.zeros_like(weights)
    for step in range(3):
        gradient = random_matrix(6, 36, seed=step + 1).view(6, 4, 3, 3)
        parameter.grad = gradient.clone()
        optimizer.step()
        momentum = 0.6 * momentum + gradient
        direction = (gradient + 0.6 * momentum).view(6, 36)
        weights = weights * (6**0.5 / weights.norm()) - 0.1 * orthogonalize(direction).view(6, 4, 3, 3)
    assert torch.allclose(parameter, weights, atol=1e-6)


def test_parameter_without_gradient_stays() -> None:
    parameter = torch.nn.Parameter(random_matrix(4, 4))
    before = parameter.detach().clone()
    Muon([parameter], lr=0.1, momentum=0.6).step()
    assert torch.equal(parameter, before)


def test_every_learning_parameter_has_one_optimizer() -> None:
    network = WhitenedCnn(class_count=3, mean=[0.5] * 3, std=[0.2] * 3, width_multiplier=0.125)
    config = tiny_config(Path("d"), batch_size=100, weight_decay=1e-4)
    muon, sgd = build_optimizers(network, config=config, dtype=torch.float32)
    groups = {group["name"]: group for group in (*muon.param_groups, *sgd.param_groups)}
    assert {name: len(group["params"]) for name, group in groups.items()} == {
        "filters": 6,
        "whitening": 1,
        "biases": 6,
        "head": 1,
    }
    owned = {id(parameter) for group in groups.values() for parameter in group["params"]}
    assert owned == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    # One step shrinks by weight_decay × batch_size, whatever the rate.
    assert groups["biases"]["weight_decay"] * groups["biases"]["lr"] == pytest.approx(0.01)
    assert groups["head"]["weight_decay"] * groups["head"]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_single_optimizer_decays_matrices_and_spares_norms_and_biases(optimizer: str) -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    network[3].bias.requires_grad = False
    config = tiny_config(Path("d"), optimizer=optimizer, learning_rate=0.01, weight_decay=0.05)
    (built,) = build_optimizers(network, config=config, dtype=torch.float32)
    weights, biases = built.param_groups
    assert [id(p) for p in weights["params"]] == [id(network[0].weight), id(network[3].weight)]
    assert [id(p) for p in biases["params"]] == [id(network[0].bias), id(network[1].weight), id(network[1].bias)]
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.05, 0.0)
    assert {group["initial_lr"] for group in built.param_groups} == {0.01}
    assert type(built).__name__.lower() == optimizer


TIMM = {"architecture": "test_resnet", "width_multiplier": 1.0}


def build_timm(**overrides: object) -> tuple[TimmNetwork, list[dict[str, Any]]]:
    """Return a timm network of six parts, from the stem to the head, and the groups of its one optimizer."""
    settings = {**TIMM, "optimizer": "sgd", "learning_rate": 0.8, "weight_decay": 0.05, **overrides}
    network = build_network("test_resnet", class_count=3, mean=[0.5] * 3, std=[0.2] * 3)
    assert isinstance(network, TimmNetwork)
    (optimizer,) = build_optimizers(network, config=tiny_config(Path("d"), **settings), dtype=torch.float32)
    return network, optimizer.param_groups


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_rates_fall_by_one_factor_from_the_head_to_the_stem(optimizer: str) -> None:
    network, groups = build_timm(optimizer=optimizer, layer_decay=0.5)
    assert [(group["name"], group["initial_lr"], group["weight_decay"]) for group in groups] == [
        (name, rate, decay)
        for rate in (0.8, 0.4, 0.2, 0.1, 0.05, 0.025)
        for name, decay in (("weights", 0.05), ("biases", 0.0))
    ]
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    stages = [{rates[id(dict(network.backbone.named_parameters())[name])] for name in s} for s in network.stages]
    assert stages == [{0.025}, {0.05}, {0.1}, {0.2}, {0.4}]
    assert [rates[id(parameter)] for parameter in network.backbone.fc.parameters()] == [0.8, 0.8]
    assert len(rates) == len(list(network.parameters()))


def test_frozen_stages_leave_the_rates_of_the_others_alone() -> None:
    network = build_network("test_resnet", class_count=3, mean=[0.5] * 3, std=[0.2] * 3)
    assert isinstance(network, TimmNetwork)
    network.freeze(3)
    config = tiny_config(Path("d"), **TIMM, optimizer="adamw", learning_rate=0.8, layer_decay=0.5)
    (optimizer,) = build_optimizers(network, config=config, dtype=torch.float32)
    assert [group["lr"] for group in optimizer.param_groups] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_without_a_layer_decay_all_stages_share_two_groups() -> None:
    _, groups = build_timm()
    assert [(group["name"], group["lr"]) for group in groups] == [("weights", 0.8), ("biases", 0.8)]


def test_muon_leaves_convolutions_with_a_bias_to_the_other_optimizer() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 4, 1), torch.nn.Linear(4, 2)
    )
    config = tiny_config(Path("d"), optimizer="muon_adamw", head_learning_rate=0.02, bias_learning_rate=0.03)
    muon, adamw = build_optimizers(network, config=config, dtype=torch.float32)
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(network[0].weight)]
    biases, head = adamw.param_groups
    assert [id(p) for p in head["params"]] == [id(network[2].weight), id(network[3].weight)]
    assert (len(biases["params"]), biases["initial_lr"], head["initial_lr"]) == (4, 0.03, 0.02)


def test_frozen_filters_leave_muon_out() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.Linear(4, 2))
    network[0].requires_grad_(requires_grad=False)
    (sgd,) = build_optimizers(network, config=tiny_config(Path("d")), dtype=torch.float32)
    assert [group["name"] for group in sgd.param_groups] == ["biases", "head"]

"""One step: parts add up, gradients are clipped, mixed labels count, and float16 is scaled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.engine.tiny_data import tiny_config
from training.engine.device import choose_device
from training.engine.step import Learner

IMAGES = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.GELU(), nn.Flatten(), nn.Linear(16, 3))


def make_learner(**changes: object) -> Learner:
    config = tiny_config(Path("d"), **{"precision": "float32", "learning_rate": 0.1, "momentum": 0.0, **changes})
    return Learner(make_network(), config=config, device=choose_device(config.precision))


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.network.parameters()])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon_sgd"])
@pytest.mark.parametrize("parts", [3, 5])
def test_parts_of_a_batch_give_the_same_step(optimizer: str, parts: int) -> None:
    whole = make_learner(optimizer=optimizer)
    divided = make_learner(optimizer=optimizer, accumulation_steps=parts)
    sums = [learner.learn(IMAGES, LABELS) for learner in (whole, divided)]
    assert torch.allclose(sums[0], sums[1], rtol=1e-5)
    assert torch.allclose(weights(whole), weights(divided), atol=2e-4)


def test_sums_are_of_loss_and_hits() -> None:
    learner = make_learner(optimizer="sgd", label_smoothing=0.1)
    logits = make_network()(IMAGES)
    loss, hits = learner.learn(IMAGES, LABELS).tolist()
    expected = nn.functional.cross_entropy(logits, LABELS, label_smoothing=0.1) * 12
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert hits == (logits.argmax(dim=1) == LABELS).sum().item()


def test_plain_sgd_follows_the_gradient_of_the_mean_loss() -> None:
    learner, network = make_learner(optimizer="sgd", label_smoothing=0.0, weight_decay=0.0), make_network()
    torch.autograd.backward(nn.functional.cross_entropy(network(IMAGES), LABELS))
    before = weights(learner)
    learner.learn(IMAGES, LABELS)
    gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])
    assert torch.allclose(weights(learner), before - 0.1 * gradient, atol=1e-7)


class Scaled(nn.Module):
    """Has a weight without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(48, 3), nn.Parameter(torch.tensor(1.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.scale * self.layer(images.flatten(1))
        return logits


def test_the_state_of_a_weight_without_dimensions_stays_where_the_weight_is() -> None:
    config = tiny_config(Path("d"), precision="float32", optimizer="adamw", learning_rate=0.01)
    first, second = (  # "meta" is a device where nothing is computed: it tells tensors apart
        Learner(Scaled().to(place), config=config, device=choose_device("float32")) for place in ("cpu", "meta")
    )
    first.learn(IMAGES, LABELS)
    second.load_state_tensors(first.state_tensors())
    places = {name: {key: state[key].device.type for key in state} for name, _, state in second.named_states()}
    assert places["scale"] == places["layer.weight"] == {"step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


@pytest.mark.parametrize("longest", [0.01, 0.1])
def test_long_gradients_are_shortened_to_the_norm_allowed(longest: float) -> None:
    learner = make_learner(optimizer="sgd", weight_decay=0.0, gradient_clip=longest)
    before = weights(learner)
    learner.learn(IMAGES, LABELS)
    assert ((weights(learner) - before).norm() / 0.1).item() == pytest.approx(longest, rel=1e-3)


def test_short_gradients_stay() -> None:
    free, clipped = make_learner(optimizer="sgd"), make_learner(optimizer="sgd", gradient_clip=1000.0)
    for learner in (free, clipped):
        learner.learn(IMAGES, LABELS)
    assert torch.equal(weights(free), weights(clipped))


def test_shares_of_whole_labels_teach_what_labels_teach() -> None:
    by_label, by_share = make_learner(optimizer="sgd"), make_learner(optimizer="sgd")
    sums = [by_label.learn(IMAGES, LABELS), by_share.learn(IMAGES, nn.functional.one_hot(LABELS).float())]
    assert torch.allclose(sums[0], sums[1], rtol=1e-6)
    assert torch.allclose(weights(by_label), weights(by_share), atol=1e-7)


def test_float16_overflow_skips_the_step_and_halves_the_scale() -> None:
    learner = make_learner(optimizer="sgd", precision="float16")
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 2.0**60})
    before = weights(learner)
    learner.learn(IMAGES, LABELS)
    assert torch.equal(weights(learner), before)
    assert learner.scaler.state_dict()["scale"] == 2.0**59
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 128.0})
    learner.learn(IMAGES, LABELS)
    assert not torch.equal(weights(learner), before)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "muon_sgd", "muon_adamw"])
def test_every_optimizer_moves_every_weight_and_lowers_the_loss(optimizer: str) -> None:
    rates = {"learning_rate": 0.01, "bias_learning_rate": 0.01, "head_learning_rate": 0.01}
    learner = make_learner(optimizer=optimizer, weight_decay=1e-4, **rates)
    before = weights(learner)
    losses = [learner.learn(IMAGES, LABELS)[0].item() for _ in range(20)]
    assert losses[-1] < losses[0]
    assert (weights(learner) != before).all()

"""Whole splits are classified in order, without disturbing the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.engine import evaluate
from training.engine.augment import to_float
from training.engine.data import Split
from training.engine.device import choose_device
from training.engine.evaluate import predict, predict_logits
from training.engine.networks import build_network


class Means(nn.Module):
    """Answers each image with the mean of each colour; remembers its mode."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return images.mean(dim=(2, 3))


def test_logits_keep_the_order_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "EVALUATION_BATCH_SIZE", 3)
    images = torch.randint(0, 256, (7, 32, 32, 3), dtype=torch.uint8)
    network = Means().train()
    logits = predict_logits(network, Split(images=images, labels=torch.zeros(7)), device=choose_device("float32"))
    assert torch.equal(logits, to_float(images).mean(dim=(2, 3)))
    assert network.training


def test_features_come_with_the_logits_that_they_lead_to() -> None:
    network = build_network("whitened_cnn", class_count=3, mean=[0.5] * 3, std=[0.2] * 3, width_multiplier=0.0625)
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    answers = predict(network.train(), images, device=choose_device("float32"))
    assert network.training
    with torch.no_grad():
        network.eval()
        assert torch.allclose(answers.logits, network(to_float(images)), atol=1e-6)
        assert torch.allclose(answers.features, network.get_features(to_float(images)), atol=1e-6)


@pytest.mark.parametrize(("precision", "is_rounded"), [("bfloat16", True), ("float32", False)])
def test_logits_are_computed_in_the_devices_precision(precision: str, is_rounded: bool) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)).eval()
    split = Split(images=torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8), labels=torch.zeros(4))
    logits = predict_logits(network, split, device=choose_device(precision))
    assert (logits.dtype, bool((logits.bfloat16().float() == logits).all())) == (torch.float32, is_rounded)

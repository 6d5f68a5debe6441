"""Temperature and threshold against cases with a known answer."""

from __future__ import annotations

import math

import pytest
import torch

from training.engine.calibrate import fit_temperature, fit_threshold


def test_temperature_makes_confidence_equal_accuracy() -> None:
    # Always the same logits, right three times in four: softmax(1 / T) must be 3/4, so T = 1 / ln 3.
    logits = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    labels = torch.tensor([0, 0, 0, 1])
    assert fit_temperature(logits, labels) == pytest.approx(1 / math.log(3), rel=1e-6)


def test_temperature_undoes_a_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).flatten()
    assert fit_temperature(5 * logits, labels) == pytest.approx(5 * fit_temperature(logits, labels), rel=1e-5)


def test_threshold_keeps_the_wanted_share() -> None:
    scores = torch.arange(100.0)
    threshold = fit_threshold(scores, kept_fraction=0.95)
    assert threshold == 4.0
    assert (scores >= threshold).double().mean().item() >= 0.95

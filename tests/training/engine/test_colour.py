"""Colour changes against torchvision's, one image and one change at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from training.engine.colour import Jitter, draw_jitter, jitter_colors

FACTORS = torch.tensor([0.3, 0.8, 1.0, 1.5])
NOTHING = Jitter(torch.ones(4), torch.ones(4), torch.ones(4), torch.zeros(4))


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_no_change_changes_nothing() -> None:
    assert torch.allclose(jitter_colors(images(), NOTHING), images(), atol=2e-6)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_factor_does_what_torchvision_does(name: str) -> None:
    reference = getattr(transforms, f"adjust_{name}")
    changed = jitter_colors(images(), replace(NOTHING, **{name: FACTORS}))
    expected = [reference(image, factor) for image, factor in zip(images(), FACTORS.tolist(), strict=True)]
    # torchvision's weights of a grey add up to 0.9999 in places.
    assert torch.allclose(changed, torch.stack(expected), atol=2e-4)


def test_a_turned_hue_keeps_brightness_and_greys() -> None:
    grey_weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    pale = 0.5 + (images() - 0.5) / 4  # far from the bounds, where nothing is cut off
    changed = jitter_colors(pale, replace(NOTHING, hue=torch.tensor([0.1, -0.1, 0.25, 0.5])))
    assert not torch.allclose(changed, pale, atol=0.02)
    assert torch.allclose((changed * grey_weights).sum(dim=1), (pale * grey_weights).sum(dim=1), atol=1e-5)
    greys = pale[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(jitter_colors(greys, replace(NOTHING, hue=torch.full((4,), 0.3))), greys, atol=2e-6)


def test_a_whole_turn_comes_back() -> None:
    changed = jitter_colors(images(), replace(NOTHING, hue=torch.ones(4)))
    assert torch.allclose(changed, images(), atol=1e-5)


def test_values_stay_between_zero_and_one() -> None:
    jitter = draw_jitter(64, strength=1.0, seed=0, epoch=0, step=0)
    changed = jitter_colors(images(64), jitter)
    assert (changed.min().item(), changed.max().item()) == (0.0, 1.0)


def test_amounts_lie_within_the_strength_and_belong_to_their_step() -> None:
    jitter = draw_jitter(2000, strength=0.4, seed=0, epoch=1, step=2)
    for factors in (jitter.brightness, jitter.contrast, jitter.saturation):
        assert 0.6 <= factors.min().item() < 0.61
        assert 1.39 < factors.max().item() <= 1.4
    assert 0.095 < jitter.hue.abs().max().item() <= 0.1
    assert torch.equal(jitter.hue, draw_jitter(2000, strength=0.4, seed=0, epoch=1, step=2).hue)
    assert not torch.equal(jitter.hue, draw_jitter(2000, strength=0.4, seed=0, epoch=1, step=3).hue)

"""A step's images follow from the configuration and from (seed, epoch, step) alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.tiny_data import tiny_config
from training.engine.augment import draw_first_flips, to_float
from training.engine.exceptions import ConfigError
from training.engine.pipeline import Augmenter

PLAIN: dict[str, Any] = {"crop_padding": 0, "flip": False, "full_size_from": 0.0}
ROWS = torch.arange(16)
ALBUMENTATIONS: dict[str, Any] = {
    "augmentation_backend": "albumentations",
    "flip": True,
    "flip_mode": "random",
    "color_jitter": 0.3,
    "cutout": 8,
}


def stored() -> torch.Tensor:
    return torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make_augmenter(**changes: object) -> Augmenter:
    config = tiny_config(Path("d"), **{**PLAIN, **changes})
    return Augmenter(config, image_count=16, mean=[0.5] * 3, class_count=4, device=torch.device("cpu"))


def augment(epoch: int = 0, step: int = 0, **changes: object) -> torch.Tensor:
    return make_augmenter(**changes).augment(stored(), rows=ROWS, side=32, epoch=epoch, step=step)


def test_nothing_changes_unless_asked_for() -> None:
    assert torch.equal(augment(), to_float(stored()))


@pytest.mark.parametrize("epoch", [0, 1])
def test_alternating_flips_follow_the_image(epoch: int) -> None:
    flips = draw_first_flips(16, seed=0) ^ (epoch == 1)
    expected = torch.where(flips.view(-1, 1, 1, 1), to_float(stored()).flip(3), to_float(stored()))
    assert torch.equal(augment(epoch=epoch, step=5, flip=True), expected)


def test_random_flips_are_drawn_for_each_step() -> None:
    images = to_float(stored())
    flipped = [(augment(step=step, flip=True, flip_mode="random") != images).flatten(1).any(dim=1) for step in (1, 2)]
    assert 0 < int(flipped[0].sum()) < 16
    assert not torch.equal(flipped[0], flipped[1])


def test_border_is_reflected_or_black() -> None:
    reflected, black = (augment(crop_padding=4, crop_fill=fill) for fill in ("reflect", "zero"))
    beyond = (black == 0).all(dim=1, keepdim=True) & (reflected != 0).any(dim=1, keepdim=True)
    assert beyond.any()
    assert torch.equal(torch.where(beyond, 0.0, reflected), black)
    assert beyond[:, :, 4:-4, 4:-4].sum() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"color_jitter": 0.4},
        {"erasing_probability": 1.0},
        {"policy": "randaugment"},
        {"policy": "trivialaugment"},
        {"cutout": 8},
    ],
    ids=str,
)
def test_draws_belong_to_the_step(changes: dict[str, Any]) -> None:
    images = augment(step=3, **changes)
    assert not torch.equal(images, to_float(stored()))
    assert torch.equal(images, augment(step=3, **changes))
    assert not torch.equal(images, augment(step=4, **changes))
    assert (images.min().item() >= 0, images.max().item() <= 1) == (True, True)


def test_labels_stay_numbers_unless_mixed() -> None:
    images, labels = to_float(stored()), ROWS % 4
    same, targets = make_augmenter().mix(images, labels, epoch=0, step=0)
    assert (same is images, targets is labels) == (True, True)
    mixed, shares = make_augmenter(mixup_probability=1.0).mix(images, labels, epoch=0, step=0)
    assert mixed.shape == images.shape
    assert shares.shape == (16, 4)
    assert torch.allclose(shares.sum(dim=1), torch.ones(16))


def test_missing_albumentations_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(ConfigError) as caught:
        make_augmenter(**ALBUMENTATIONS)
    assert str(caught.value) == (
        "augmentation_backend is 'albumentations', whose package is not installed; "
        "allowed is tensor, or albumentations after `make install-albumentations`."
    )


def test_albumentations_draws_belong_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    pytest.importorskip("albumentations", reason="the optional package is not installed")
    images = augment(step=3, **ALBUMENTATIONS)
    assert (images.shape, images.dtype) == ((16, 3, 32, 32), torch.float32)
    assert torch.equal(images, augment(step=3, **ALBUMENTATIONS))
    assert not torch.equal(images, augment(step=4, **ALBUMENTATIONS))
    assert not torch.equal(images, augment(step=3, **{**ALBUMENTATIONS, "seed": 1}))

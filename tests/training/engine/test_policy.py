"""RandAugment and TrivialAugment: every operation against torchvision's, and what is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from tests.training.engine.tiny_data import tiny_config
from training.engine.policy import OPERATIONS, RANDAUGMENT, TRIVIALAUGMENT, Ranges, apply_policy, draw_policy

NAMES = [name for name, _ in OPERATIONS]
STRENGTHS = torch.tensor([-1.0, -0.5, 0.3, 1.0])


def images() -> torch.Tensor:
    return torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)) / 255


def apply(name: str, ranges: Ranges = RANDAUGMENT) -> torch.Tensor:
    operations = torch.full((4,), NAMES.index(name))
    return apply_policy(images(), operations=operations, strengths=STRENGTHS, ranges=ranges)


def affine(
    image: torch.Tensor, *, turn: float = 0.0, shift: tuple[float, float] = (0, 0), shear: float = 0.0
) -> torch.Tensor:
    moved: torch.Tensor = transforms.affine(image, angle=turn, translate=list(shift), scale=1.0, shear=[shear, 0.0])
    return moved


Reference = Callable[[torch.Tensor, float], torch.Tensor]
REFERENCES: dict[str, Reference] = {
    "identity": lambda image, _: image,
    "translate_x": lambda image, s: affine(image, shift=(-s * 32 * 150 / 331, 0)),
    "translate_y": lambda image, s: affine(image, shift=(0, -s * 32 * 150 / 331)),
    "rotate": lambda image, s: affine(image, turn=-30 * s),
    "shear_x": lambda image, s: affine(image, shear=math.degrees(math.atan(0.3 * s))),
    "brightness": lambda image, s: transforms.adjust_brightness(image, 1 + 0.9 * s),
    "saturation": lambda image, s: transforms.adjust_saturation(image, 1 + 0.9 * s),
    "contrast": lambda image, s: transforms.adjust_contrast(image, 1 + 0.9 * s),
    "sharpness": lambda image, s: transforms.adjust_sharpness(image, 1 + 0.9 * s),
    "solarize": lambda image, s: transforms.solarize(image, 1 - abs(s)),
    "autocontrast": lambda image, _: transforms.autocontrast(image),
    "equalize": lambda image, _: transforms.equalize(image),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_operation_does_what_torchvision_does(name: str) -> None:
    pairs = zip(images(), STRENGTHS.tolist(), strict=True)
    expected = torch.stack([REFERENCES[name](image, strength) for image, strength in pairs])
    same = (apply(name) - expected).abs().amax(dim=1) < 5e-4  # (N, H, W)
    # A pixel whose source lies exactly between two neighbours may take either.
    assert same.double().mean().item() > (
        0.99 if name in {"rotate", "shear_x", "translate_x", "translate_y"} else 0.9999
    )


def test_shears_are_mirrors_of_each_other() -> None:
    turned = apply_policy(
        images().mT, operations=torch.full((4,), NAMES.index("shear_y")), strengths=STRENGTHS, ranges=RANDAUGMENT
    )
    assert torch.equal(apply("shear_x"), turned.mT)


@pytest.mark.parametrize(("ranges", "kept"), [(RANDAUGMENT, (4, 6, 7, 4)), (TRIVIALAUGMENT, (2, 5, 6, 2))])
def test_posterize_keeps_the_high_bits(ranges: Ranges, kept: tuple[int, ...]) -> None:
    expected = [transforms.posterize((255 * image).byte(), bits) for image, bits in zip(images(), kept, strict=True)]
    assert torch.equal((255 * apply("posterize", ranges)).round().byte(), torch.stack(expected))


def test_each_image_has_its_own_operation() -> None:
    operations = torch.tensor([NAMES.index(name) for name in ("identity", "solarize", "identity", "solarize")])
    changed = apply_policy(images(), operations=operations, strengths=torch.ones(4), ranges=RANDAUGMENT)
    assert torch.equal(changed[[0, 2]], images()[[0, 2]])
    assert torch.equal(changed[[1, 3]], 1 - images()[[1, 3]])


def test_randaugment_draws_several_operations_of_one_strength() -> None:
    config = tiny_config(Path("d"), policy="randaugment", policy_operations=3, policy_magnitude=15)
    rounds = draw_policy(3000, config=config, epoch=0, step=0)
    assert len(rounds) == 3
    for operations, strengths in rounds:
        assert set(operations.tolist()) == set(range(14))
        assert set(strengths.tolist()) == {-0.5, 0.5}
    assert not torch.equal(rounds[0][0], rounds[1][0])


def test_trivialaugment_draws_one_operation_of_any_strength() -> None:
    config = tiny_config(Path("d"), policy="trivialaugment")
    ((operations, strengths),) = draw_policy(3000, config=config, epoch=0, step=0)
    assert set(operations.tolist()) == set(range(14))
    assert len(set(strengths.tolist())) == 61  # 30 levels in both directions, and none
    again = draw_policy(3000, config=config, epoch=0, step=0)
    assert torch.equal(again[0][1], strengths)
    assert not torch.equal(draw_policy(3000, config=config, epoch=0, step=1)[0][1], strengths)

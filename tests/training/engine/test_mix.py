"""The algebra of MixUp and CutMix: shares of pixels and of labels are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.engine.tiny_data import tiny_config
from training.engine.config import TrainConfig
from training.engine.mix import Mix, draw_mix, mix_images, mix_labels, own_share, place_box

MIXUP = {"mixup_probability": 1.0}
CUTMIX = {"cutmix_probability": 1.0}


def configure(**overrides: object) -> TrainConfig:
    return tiny_config(Path("d"), **overrides)


def draws(count: int, config: TrainConfig) -> list[Mix | None]:
    return [draw_mix(8, size=32, config=config, epoch=0, step=step) for step in range(count)]


def test_mixup_is_a_weighted_sum_of_images_and_of_labels() -> None:
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mix = Mix(order=torch.tensor([2, 0, 1]), weight=0.75, box=None)
    expected = 0.75 * images + 0.25 * images[[2, 0, 1]]
    assert torch.allclose(mix_images(images, mix), expected, atol=1e-7)
    labels = mix_labels(torch.tensor([0, 1, 3]), mix, class_count=4)
    assert labels.tolist() == [[0.75, 0, 0, 0.25], [0.25, 0.75, 0, 0], [0, 0.25, 0, 0.75]]


def test_partners_of_one_class_keep_a_whole_label() -> None:
    mix = Mix(order=torch.tensor([1, 0]), weight=0.25, box=None)
    assert mix_labels(torch.tensor([2, 2]), mix, class_count=3).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_cutmix_takes_exactly_the_box_from_the_partner() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = mix_images(images, Mix(order=torch.tensor([1, 0]), weight=0.75, box=(1, 2, 5, 6)))
    expected = images.clone()
    expected[0, :, 1:5, 2:6] = images[1, :, 1:5, 2:6]
    expected[1, :, 1:5, 2:6] = images[0, :, 1:5, 2:6]
    assert torch.equal(mixed, expected)


@pytest.mark.parametrize(
    ("weight", "center", "box", "share"),
    [
        (0.75, (16, 16), (8, 8, 24, 24), 0.75),  # a quarter of the area, wholly inside
        (0.75, (0, 16), (0, 8, 8, 24), 0.875),  # half of the square is cut off
        (0.75, (31, 31), (23, 23, 32, 32), 1 - 81 / 1024),
        (0.0, (16, 16), (0, 0, 32, 32), 0.0),
        (1.0, (5, 5), (5, 5, 5, 5), 1.0),
    ],
)
def test_box_has_area_one_minus_lambda_after_cutting_off(
    weight: float, center: tuple[int, int], box: tuple[int, int, int, int], share: float
) -> None:
    assert place_box(weight, center=center, size=32) == box
    assert own_share(box, size=32) == share


def test_drawn_weights_equal_the_area_that_is_left() -> None:
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 32, 32)
    for mix in draws(200, configure(**CUTMIX)):
        assert mix is not None
        assert mix.box is not None
        kept = (mix_images(images, mix) == images).double().mean(dim=(1, 2, 3))
        moved = mix.order != torch.arange(8)
        assert torch.allclose(kept[moved], torch.tensor(mix.weight, dtype=torch.float64))
        assert sorted(mix.order.tolist()) == list(range(8))


def test_mixup_draws_its_weights_from_beta() -> None:
    weights = torch.tensor([mix.weight for mix in draws(2000, configure(**MIXUP, mixup_alpha=0.2)) if mix])
    assert len(weights) == 2000
    assert weights.mean().item() == pytest.approx(0.5, abs=0.04)
    assert weights.var().item() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)  # of Beta(α, α)


def test_probabilities_divide_the_batches() -> None:
    mixes = draws(2000, configure(mixup_probability=0.3, cutmix_probability=0.5))
    kinds = [mix if mix is None else mix.box is None for mix in mixes]
    assert kinds.count(True) / 2000 == pytest.approx(0.3, abs=0.04)
    assert kinds.count(False) / 2000 == pytest.approx(0.5, abs=0.04)
    assert kinds.count(None) / 2000 == pytest.approx(0.2, abs=0.04)


def test_nothing_is_mixed_unless_asked_for() -> None:
    assert draws(100, configure()) == [None] * 100


def test_draws_belong_to_seed_epoch_and_step() -> None:
    config = configure(**MIXUP)
    first = draw_mix(8, size=32, config=config, epoch=1, step=7)
    again = draw_mix(8, size=32, config=config, epoch=1, step=7)
    other = draw_mix(8, size=32, config=config, epoch=1, step=8)
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first.weight, first.order.tolist()) == (again.weight, again.order.tolist())
    assert first.weight != other.weight

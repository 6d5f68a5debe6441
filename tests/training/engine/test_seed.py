"""A draw depends on its seed, purpose, epoch and step, and on nothing else."""

from __future__ import annotations

import torch

from training.engine.seed import make_generator, seed_everything


def draw(**position: int) -> list[int]:
    generator = make_generator(purpose="crop", **{"seed": 1, **position})
    return torch.randint(0, 1 << 30, (4,), generator=generator).tolist()


def test_same_position_repeats_whatever_was_drawn_between() -> None:
    first = draw(epoch=2, step=30)
    torch.rand(10)
    assert draw(epoch=2, step=30) == first


def test_every_coordinate_changes_the_draw() -> None:
    draws = [draw(), draw(seed=2), draw(epoch=1), draw(step=1), draw(epoch=1, step=1)]
    assert len({tuple(numbers) for numbers in draws}) == 5


def test_purposes_are_independent() -> None:
    shuffle, crop = (make_generator(seed=1, purpose=purpose) for purpose in ("shuffle", "crop"))
    assert torch.rand(4, generator=shuffle).tolist() != torch.rand(4, generator=crop).tolist()


def test_global_generator_is_seeded() -> None:
    seed_everything(3)
    first = torch.rand(4)
    seed_everything(3)
    assert torch.equal(torch.rand(4), first)

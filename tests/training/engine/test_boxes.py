"""Rectangles have exact corners, and erasing paints exactly them."""

from __future__ import annotations

import torch

from training.engine.boxes import draw_erasing_boxes, erase, is_inside


def draw(count: int = 4000, *, probability: float = 1.0, step: int = 0) -> torch.Tensor:
    return draw_erasing_boxes(count, size=32, probability=probability, seed=0, epoch=0, step=step)


def test_erasing_paints_exactly_the_box() -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0, 0, 2, 3], [4, 5, 8, 8], [3, 1, 3, 6]])  # the last one is empty
    fill = torch.tensor([0.25, 0.5, 0.75])
    expected = images.clone()
    expected[0, :, 0:2, 0:3] = fill.view(3, 1, 1)
    expected[1, :, 4:8, 5:8] = fill.view(3, 1, 1)
    assert torch.equal(erase(images, boxes=boxes, fill=fill), expected)
    assert is_inside(boxes, size=8).sum(dim=(1, 2, 3)).tolist() == [6, 12, 0]


def test_boxes_lie_inside_and_have_the_papers_areas_and_ratios() -> None:
    top, left, bottom, right = draw().unbind(dim=1)
    assert 0 <= int(top.min()) <= int(left.min()) + 32
    assert int(left.min()) == 0
    assert (int(bottom.max()), int(right.max())) == (32, 32)
    heights, widths = (bottom - top).double(), (right - left).double()
    area = heights * widths / 32**2
    assert 0.01 < area.min().item() < 0.03
    assert 0.31 < area.max().item() < 0.37
    ratios = heights / widths
    assert 0.25 < ratios.min().item() < 0.45
    assert 2.2 < ratios.max().item() < 4.0


def test_probability_is_the_share_of_erased_images() -> None:
    boxes = draw(probability=0.25)
    share = (boxes[:, 2] > boxes[:, 0]).double().mean().item()
    assert 0.22 < share < 0.28
    assert is_inside(draw(probability=0.0), size=32).sum() == 0


def test_draws_belong_to_their_step() -> None:
    assert torch.equal(draw(step=3), draw(step=3))
    assert not torch.equal(draw(step=3), draw(step=4))

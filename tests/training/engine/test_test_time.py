"""Views of test images, and what their mean answer is worth, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.engine.data import Split
from training.engine.device import reference_device
from training.engine.test_time import POLICIES, average_logits, make_view, measure_policies


def test_a_view_is_moved_and_mirrored() -> None:
    images = torch.arange(32 * 32 * 3, dtype=torch.int64).remainder(251).to(torch.uint8).view(1, 32, 32, 3)
    assert torch.equal(make_view(images, shift=0, flip=False), images)
    assert torch.equal(make_view(images, shift=0, flip=True), images.flip(2))
    moved = make_view(images, shift=1, flip=False)
    assert torch.equal(moved[:, :31, :31], images[:, 1:, 1:])
    assert torch.equal(moved[:, 31, :31], images[:, 30, 1:])  # continued by reflection
    back = make_view(images, shift=-1, flip=False)
    assert torch.equal(back[:, 1:, 1:], images[:, :31, :31])


def test_policies_have_their_views() -> None:
    assert POLICIES == {
        "flip": ((0, False), (0, True)),
        "flip_shift": ((0, False), (0, True), (-1, False), (-1, True), (1, False), (1, True)),
    }


def test_the_answer_is_the_mean_of_the_views() -> None:
    logits = {(0, False): torch.tensor([[1.0, 4.0]]), (0, True): torch.tensor([[3.0, -2.0]])}
    assert average_logits(logits, POLICIES["flip"]).tolist() == [[2.0, 1.0]]


class Sides(nn.Module):
    """Answers with the brightness of the left and half as much again of the right half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([images[..., :16].mean(dim=(1, 2, 3)), 1.5 * images[..., 16:].mean(dim=(1, 2, 3))], dim=1)


def test_gain_is_measured_against_the_plain_image_and_every_view_is_computed_once() -> None:
    images = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    images[:, :, :16] = 100  # left is bright: plain says 0, mirrored says 1, and louder
    batches: list[None] = []
    rows = measure_policies(
        Sides(),
        Split(images=images, labels=torch.tensor([1, 1, 1, 0])),
        device=reference_device(),
        on_batch=lambda: batches.append(None),
    )
    assert len(batches) == 6
    assert [(row["name"], row["views"]) for row in rows] == [("flip", 2), ("flip_shift", 6)]
    assert (rows[0]["accuracy"], rows[0]["gain"]) == (0.75, pytest.approx(0.5))
    assert rows[0]["cost"] > 1
    assert rows[1]["cost"] > rows[0]["cost"]

"""How images are arranged on a map."""

from __future__ import annotations

import numpy as np
import torch

from training.engine.sights import draw_map


def test_images_that_are_seen_alike_lie_near_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.one_hot(torch.arange(4), 16).float()
    groups = torch.arange(4).repeat_interleave(30)
    features = (centres[groups] + 0.05 * torch.randn(120, 16, generator=generator)) * torch.rand(120, 1) * 9
    points = draw_map(features)
    assert (str(points.dtype), points.shape) == ("float32", (120, 2))
    assert (points.min(), points.max()) == (0, 1)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(120)
    assert (groups.numpy()[distances.argmin(axis=1)] == groups.numpy()).all()
    np.testing.assert_array_equal(draw_map(features), points)


def test_few_images_make_no_map() -> None:
    assert draw_map(torch.eye(7)).shape == (0, 2)


def test_images_that_are_seen_the_same_lie_on_one_spot() -> None:
    assert np.isfinite(draw_map(torch.ones(20, 8))).all()

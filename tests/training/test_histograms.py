"""Counting and drawing a dataset's colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.factories import DatasetFactory
from training.histograms import count_channels, draw_histogram


def dataset_of(folder: Path, images: np.ndarray) -> object:
    np.save(folder / "train_images.npy", images)
    return DatasetFactory.build(location=str(folder))


def test_each_channel_is_counted_by_itself(tmp_path: Path) -> None:
    images = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    images[..., 1] = 255
    images[:1, ..., 2] = 4  # a quarter of the blue values falls into the second range of four
    shares = count_channels(dataset_of(tmp_path, images))  # type: ignore[arg-type]
    assert shares.shape == (3, 64)
    assert shares.sum(axis=1).tolist() == [1.0, 1.0, 1.0]
    assert (shares[0, 0], shares[1, 63], shares[2, 0], shares[2, 1]) == (1.0, 1.0, 0.75, 0.25)


def test_a_large_dataset_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.histograms.HISTOGRAM_IMAGES", 2)
    images = np.zeros((5, 32, 32, 3), dtype=np.uint8)
    images[1:4] = 255  # between the first and the last
    assert count_channels(dataset_of(tmp_path, images))[0, 0] == 1.0  # type: ignore[arg-type]


def test_the_highest_share_fills_the_drawing() -> None:
    shares = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])
    drawn = draw_histogram(shares)
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 96"')
    assert 'd="M0 96V48.0H128V48.0H256V96Z"' in drawn
    assert 'd="M0 96V0.0H128V96.0H256V96Z"' in drawn
    assert "style" not in drawn

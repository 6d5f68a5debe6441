"""The hash keeps what a picture shows, and the search finds exactly the pairs that all pairs would give."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.engine import perceptual_hash
from training.engine.perceptual_hash import find_close, hash_images


def draw_pictures(count: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth random pictures, (N, 32, 32, 3)."""
    coarse = np.random.default_rng(seed).integers(30, 200, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in coarse])


def recompress(image: NDArray[np.uint8], *, quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def distances(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    differing: NDArray[np.uint8] = np.bitwise_count(first ^ second)
    return differing


def test_hash_is_the_signs_of_the_low_frequencies() -> None:
    row = np.arange(32)
    wave = 128 + 60 * np.cos(np.pi * 3 * (2 * row + 1) / 64)  # frequency 3 across, 0 down
    image = np.broadcast_to(wave.round().astype(np.uint8)[None, :, None], (1, 32, 32, 3))
    [value] = hash_images(np.ascontiguousarray(image))
    assert int(value) >> 60 & 1  # bit 3 of the first row of frequencies, from the left
    assert not int(value) >> 63  # the mean brightness has no bit


def test_recompression_brightness_and_contrast_move_few_bits() -> None:
    pictures = draw_pictures(50)
    hashes = hash_images(pictures)
    compressed = np.stack([recompress(picture, quality=60) for picture in pictures])
    dimmed = (pictures * 0.8 + 10).round().astype(np.uint8)
    assert distances(hashes, hash_images(compressed)).max() <= 8
    assert distances(hashes, hash_images(dimmed)).max() <= 4
    assert distances(hashes[:-1], hashes[1:]).min() > 12


def test_search_finds_what_all_pairs_give() -> None:
    generator = np.random.default_rng(1)
    hashes = generator.integers(0, 2**63, 200, dtype=np.uint64)
    for number in range(100, 200):  # near relatives at every distance from 0 to 11
        flips = generator.permutation(64)[: number % 12]
        hashes[number] = hashes[number - 100] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    for max_distance in (0, 3, 8):
        found = [
            (min(pair), max(pair))
            for first, second in find_close(hashes, max_distance=max_distance)
            for pair in zip(first.tolist(), second.tolist(), strict=True)
        ]
        close = np.argwhere(np.triu(distances(hashes[:, None], hashes[None]) <= max_distance, k=1))
        assert sorted(found) == [tuple(pair) for pair in close.tolist()]


def test_many_equal_hashes_are_compared_with_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual_hash, "MAX_BUCKET_REACH", 3)
    pairs = sum(len(first) for first, _second in find_close(np.zeros(50, dtype=np.uint64), max_distance=2))
    assert pairs == 49 + 48 + 47


def test_nothing_to_compare() -> None:
    assert list(find_close(np.zeros(1, dtype=np.uint64), max_distance=8)) == []
    assert list(find_close(np.zeros(0, dtype=np.uint64), max_distance=8)) == []

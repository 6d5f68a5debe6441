"""Finding images that look alike: a 64-bit perceptual hash and a search for hashes that differ in few bits.

The hash is pHash: the signs of the 63 lowest frequencies of the grey image, each against their median. Recompression,
noise, and changes of brightness or contrast move few of them. It is made for 32×32 pixels, which is what we store.

Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (pHash); Norouzi, Punjani &
Fleet 2012, "Fast search in Hamming space with multi-index hashing", arXiv 1307.2982 (the bands).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.engine.constants import IMAGE_SIZE

HASH_BITS: Final = 64
LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the grey value (ITU-R BT.601)."""

MAX_BUCKET_REACH: Final = 5_000
"""With how many neighbours of its bucket a hash is compared at most. The largest bucket of CIFAR-10 has about half as
many; the bound keeps a dataset of thousands of nearly equal images from taking hours."""

_SIDE: Final = 8  # frequencies kept in each direction


def hash_images(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash images by what they look like.

    Args:
        images: (N, 32, 32, 3) uint8.

    Returns:
        (N,) uint64.
    """
    cosines = _cosines()
    frequencies = cosines @ (images @ LUMA) @ cosines.T  # (N, 8, 8)
    frequencies = frequencies.reshape(len(images), HASH_BITS)[:, 1:]  # the first one is the mean brightness
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    padded = np.pad(bits, ((0, 0), (1, 0)))
    return np.packbits(padded, axis=1).view(">u8").astype(np.uint64).reshape(-1)


def find_close(
    hashes: NDArray[np.uint64], *, max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Find all pairs of hashes that differ in few bits, each once.

    The bits are cut into `max_distance + 1` bands: two hashes within that distance agree in one band at least, so only
    hashes that share a band are compared.

    Args:
        hashes: (N,) uint64.
        max_distance: Bits that may differ.

    Yields:
        Index arrays (M,) of the first and of the second hash of M pairs.
    """
    bands = np.linspace(0, HASH_BITS, max_distance + 2).round().astype(int)
    masks = [_band_mask(low, high) for low, high in itertools.pairwise(bands.tolist())]
    for number, mask in enumerate(masks):
        order = np.lexsort((hashes, hashes & mask))
        ordered = hashes[order]
        keys = ordered & mask
        left = np.arange(len(hashes))
        for reach in range(1, min(len(hashes), MAX_BUCKET_REACH + 1)):
            left = left[left + reach < len(hashes)]
            left = left[keys[left] == keys[left + reach]]
            if not len(left):
                break
            difference = ordered[left] ^ ordered[left + reach]
            is_new = np.bitwise_count(difference) <= max_distance
            for earlier in masks[:number]:
                is_new &= (difference & earlier) != 0  # a pair that shares an earlier band was found there
            if is_new.any():
                yield order[left[is_new]], order[left[is_new] + reach]


def _cosines() -> NDArray[np.float32]:
    """Return the first rows of the discrete cosine transform of 32 values, (8, 32)."""
    frequency, position = np.arange(_SIDE)[:, None], np.arange(IMAGE_SIZE)[None]
    return np.cos(np.pi * frequency * (2 * position + 1) / (2 * IMAGE_SIZE)).astype(np.float32)


def _band_mask(low: int, high: int) -> np.uint64:
    """Return a mask of the bits from `low` to `high`, not included."""
    return np.uint64(((1 << (high - low)) - 1) << low)

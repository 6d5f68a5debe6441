"""Which images occur again, exactly or nearly, within and across sets of images. Imports no torch.

Exact copies have the same pixels. Near copies have perceptual hashes a few bits apart and pixels that correlate: the
hash finds candidates among all pairs, the correlation keeps those that show the same picture. Images of a single colour
look like any other of their kind, and have no near copies.

Source: Barz & Denzler 2020, "Do we train on test data? Purging CIFAR of near-duplicates", arXiv 1902.00423, for what to
look for; the hash as in `perceptual_hash`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.engine.perceptual_hash import find_close, hash_images
from training.engine.progress import ProgressCallback

MAX_HASH_DISTANCE: Final = 8
"""Bits of the hash that may differ. 6 miss a quarter of CIFAR-10's near copies; 10 take four times as long."""

MIN_CORRELATION: Final = 0.85
"""Of two images' pixels, each colour less its mean. Of CIFAR-10's pairs at most 8 bits apart, 21 were looked at in each
range: from 0.85 to 0.90 all show the same picture, from 0.80 to 0.85 about a third do not."""

Kind = Literal["exact", "near"]
_MAX_EXAMPLES: Final = 20
_CHUNK: Final = 2_048


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images that belong together.

    Attributes:
        name: What the report calls them.
        images: (N, 32, 32, 3) uint8.
        labels: (N,) int64.
        class_keys: Names of the labels: sets are compared by name.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Example:
    """One pair: positions in the first and in the second set, and the classes there."""

    kind: Kind
    first: int
    second: int
    class_keys: tuple[str, str]


@dataclass(slots=True)
class Copies:
    """Which images of a first set have copies in a second one; in the same set, copies other than themselves.

    Attributes:
        first: Name of the first set.
        second: Name of the second set.
        exact: (N,) bool, over the first set: has an exact copy.
        near: (N,) bool: has a near copy that is no exact one.
        conflicting: (N,) bool: has a copy of either kind with another class.
        examples: A few pairs.
    """

    first: str
    second: str
    exact: NDArray[np.bool_]
    near: NDArray[np.bool_]
    conflicting: NDArray[np.bool_]
    examples: list[Example] = field(default_factory=list)


class CopyFinder:
    """Looks for copies in several sets at once.

    Args:
        sets: The sets.
        on_progress: Told how many images were hashed.
    """

    def __init__(self, sets: Sequence[ImageSet], *, on_progress: ProgressCallback) -> None:
        self._sets = sets
        sizes = [len(one.labels) for one in sets]
        self._starts = np.cumsum([0, *sizes])
        total = int(self._starts[-1])
        self._owner = np.repeat(np.arange(len(sets)), sizes)
        names = {key: number for number, key in enumerate(sorted({key for one in sets for key in one.class_keys}))}
        self._class_keys = list(names)
        self._classes = np.concatenate([np.array([names[key] for key in one.class_keys])[one.labels] for one in sets])
        self._content = np.empty(total, dtype=np.int64)  # equal for equal pixels
        self._hashes = np.empty(total, dtype=np.uint64)
        self.is_constant = np.empty(total, dtype=np.bool_)
        # Of every image: does it have an exact or a near copy in a set, under its own class or under another?
        self._found = np.zeros((2, total, len(sets), 2), dtype=np.bool_)
        self._examples: dict[tuple[int, int], list[Example]] = {}
        self._hash(on_progress)
        self._find_exact()
        self._find_near()

    def constants(self, number: int) -> NDArray[np.int64]:
        """Return the positions of the images of a single colour in set `number`."""
        return np.flatnonzero(self.is_constant[self._starts[number] : self._starts[number + 1]])

    def compare(self, first: int, second: int) -> Copies:
        """Return which images of set `first` have copies in set `second`."""
        exact, near = self._found[:, self._starts[first] : self._starts[first + 1], second]
        return Copies(
            first=self._sets[first].name,
            second=self._sets[second].name,
            exact=exact.any(axis=1),
            near=near.any(axis=1),
            conflicting=exact[:, 1] | near[:, 1],
            examples=self._examples.get((first, second), []),
        )

    def _hash(self, on_progress: ProgressCallback) -> None:
        contents: dict[bytes, int] = {}
        total = len(self._content)
        for start, one in zip(self._starts, self._sets, strict=False):
            for offset in range(0, len(one.labels), _CHUNK):
                images = np.ascontiguousarray(one.images[offset : offset + _CHUNK])
                rows = slice(start + offset, start + offset + len(images))
                self._content[rows] = [contents.setdefault(digest, len(contents)) for digest in _digest(images)]
                self._hashes[rows] = hash_images(images)
                self.is_constant[rows] = (images == images[:, :1, :1]).all(axis=(1, 2, 3))
                on_progress(int(rows.stop), total, "Checking the images")

    def _find_exact(self) -> None:
        repeated = np.flatnonzero(np.bincount(self._content)[self._content] > 1)
        ordered = repeated[np.argsort(self._content[repeated], kind="stable")]
        for members in np.split(ordered, np.flatnonzero(np.diff(self._content[ordered])) + 1):
            owners, classes = self._owner[members], self._classes[members]
            in_set = Counter(owners.tolist())
            in_class = Counter(zip(owners.tolist(), classes.tolist(), strict=True))
            for image, owner, class_number in zip(members, owners, classes, strict=True):
                for other in in_set:
                    same_class = in_class[other, class_number]
                    self._found[0, image, other] = (same_class > (owner == other), in_set[other] > same_class)
            for first, second in {(a, b): None for a in in_set for b in in_set}:
                pair = members[owners == first][:1], members[owners == second][-1:]
                if pair[0] != pair[1]:
                    self._keep_example("exact", int(pair[0][0]), int(pair[1][0]))

    def _find_near(self) -> None:
        varied = np.flatnonzero(~self.is_constant)
        for first, second in find_close(self._hashes[varied], max_distance=MAX_HASH_DISTANCE):
            left, right = varied[first], varied[second]
            differs = (self._classes[left] != self._classes[right]).astype(np.int64)
            is_known = (
                self._found[1, left, self._owner[right], differs] & self._found[1, right, self._owner[left], differs]
            )
            is_open = ~is_known & (self._content[left] != self._content[right])
            for start in range(0, np.count_nonzero(is_open), _CHUNK):
                rows = np.flatnonzero(is_open)[start : start + _CHUNK]
                self._verify(left[rows], right[rows], differs=differs[rows])

    def _verify(self, left: NDArray[np.int64], right: NDArray[np.int64], *, differs: NDArray[np.int64]) -> None:
        """Keep the pairs, (M,) global positions each, whose pixels correlate."""
        is_copy = correlate(self._gather(left), self._gather(right)) >= MIN_CORRELATION
        left, right, differs = left[is_copy], right[is_copy], differs[is_copy]
        self._found[1, left, self._owner[right], differs] = True
        self._found[1, right, self._owner[left], differs] = True
        for first, second in zip(left.tolist(), right.tolist(), strict=True):
            self._keep_example("near", first, second)
            if self._owner[first] != self._owner[second]:
                self._keep_example("near", second, first)

    def _gather(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy images, given by global position, out of their sets; (M, 32, 32, 3)."""
        owners = self._owner[positions]
        images = np.empty((len(positions), *self._sets[0].images.shape[1:]), dtype=np.uint8)
        for owner in np.unique(owners):
            rows = owners == owner
            images[rows] = self._sets[owner].images[positions[rows] - self._starts[owner]]
        return images

    def _keep_example(self, kind: Kind, first: int, second: int) -> None:
        owners = int(self._owner[first]), int(self._owner[second])
        examples = self._examples.setdefault(owners, [])
        if sum(example.kind == kind for example in examples) < _MAX_EXAMPLES:
            starts = self._starts[list(owners)].tolist()
            keys = self._class_keys[self._classes[first]], self._class_keys[self._classes[second]]
            examples.append(Example(kind, first - starts[0], second - starts[1], class_keys=keys))


def count_shared(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    """Return how many images of the first set have an exact copy in the second.

    Args:
        first: (N, H, W, 3) uint8.
        second: (M, H, W, 3) uint8.
    """
    known = set(_digest(second))
    return sum(digest in known for digest in _digest(first))


def _digest(images: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield what is equal for equal pixels."""
    return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)


def correlate(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlate images pixel by pixel, each colour less its mean over the image.

    Args:
        first: (M, H, W, 3) uint8; no image is of a single colour.
        second: Likewise.

    Returns:
        (M,) float32 in [-1, 1].
    """
    a, b = _centre(first), _centre(second)
    products = np.einsum("mi,mi->m", a, b)
    correlations: NDArray[np.float32] = products / np.sqrt(np.einsum("mi,mi->m", a, a) * np.einsum("mi,mi->m", b, b))
    return correlations


def _centre(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = images.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    return values.reshape(len(images), -1)

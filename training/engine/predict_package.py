"""The pictures of an archive, answered by a packaged model on whatever device there is."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from training.engine.archive_rules import ArchiveLimits
from training.engine.data import Split
from training.engine.device import choose_device
from training.engine.evaluate import EVALUATION_BATCH_SIZE, predict_logits
from training.engine.evaluate_package import require_known_score
from training.engine.networks.stored import load_network
from training.engine.package import verify_package
from training.engine.photograph import ImageLimits, PhotographError, decode_photograph, to_rgb_square
from training.engine.picture_entries import PictureEntry, iterate_pictures
from training.engine.scores import LOGIT_SCORES

DECIMALS: Final = 6
"""Of a probability, as the site keeps it."""

_AHEAD: Final = 2 * EVALUATION_BATCH_SIZE
_AHEAD_BYTES: Final = 64 * 1024 * 1024

_Read = NDArray[np.uint8] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What is asked.

    Attributes:
        package: Directory of the package.
        archive: The archive.
        skip: How many of its pictures are answered already.
        archive_limits: What the archive may hold.
        image_limits: What a picture may measure.
    """

    package: Path
    archive: Path
    skip: int
    archive_limits: ArchiveLimits
    image_limits: ImageLimits


def predict_archive(request: PredictRequest, *, on_answers: Callable[[list[dict[str, Any]]], None]) -> int:
    """Answer the pictures of an archive in float32, some at a time and in their order.

    Args:
        request: What is asked.
        on_answers: Receives the answers as `AnswersEvent` has them.

    Returns:
        How many pictures were answered or refused.

    Raises:
        PackageError: The package is damaged, or its weights or score are not what this version knows.
        ArchiveError: The archive cannot be read any further; what could be was answered.
        OSError: Likewise, because of the disk.
    """
    package = verify_package(request.package)
    foreign = package.raw["out_of_distribution"]
    require_known_score(foreign["score"])
    device = choose_device("float32")
    network = load_network(package).to(device.torch_device)
    entries = iterate_pictures(
        request.archive,
        limits=request.archive_limits,
        max_picture_bytes=request.image_limits.max_bytes,
        skip=request.skip,
        on_entry=lambda: None,
    )
    count = 0
    for batch in _in_batches(_decode_ahead(entries, limits=request.image_limits)):
        pixels = [read for _entry, read in batch if not isinstance(read, str)]
        answers: Iterator[dict[str, Any]] = iter(())
        if pixels:
            images = torch.from_numpy(np.stack(pixels))
            split = Split(images=images, labels=torch.zeros(len(images), dtype=torch.int64))
            logits = predict_logits(network, split, device=device)
            is_foreign = LOGIT_SCORES[foreign["score"]](logits) < foreign["threshold"]
            shares = (logits.double() / package.temperature).softmax(dim=1)
            answers = _describe(logits.argmax(dim=1), shares, is_foreign)
        on_answers(
            [
                {
                    "index": entry.index,
                    "name": entry.name,
                    **({"error": read} if isinstance(read, str) else next(answers)),
                }
                for entry, read in batch
            ]
        )
        count += len(batch)
    return count


def _describe(best: torch.Tensor, shares: torch.Tensor, is_foreign: torch.Tensor) -> Iterator[dict[str, Any]]:
    rounded = [[round(share, DECIMALS) for share in row] for row in shares.tolist()]
    for class_id, row, foreign in zip(best.tolist(), rounded, is_foreign.tolist(), strict=True):
        yield {"class_id": class_id, "probabilities": row, "out_of_distribution": foreign}


def _in_batches(pairs: Iterable[tuple[PictureEntry, _Read]]) -> Iterator[list[tuple[PictureEntry, _Read]]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, EVALUATION_BATCH_SIZE)):
        yield batch


def _decode_ahead(entries: Iterator[PictureEntry], *, limits: ImageLimits) -> Iterator[tuple[PictureEntry, _Read]]:
    """Decode on every core, a bounded number of pictures and bytes ahead of whoever takes them."""
    waiting: deque[tuple[PictureEntry, int, Future[_Read]]] = deque()
    bytes_ahead = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="decode") as pool:
        for entry in entries:
            bare = replace(entry, data=b"")
            waiting.append((bare, len(entry.data), pool.submit(_decode, entry, limits)))
            bytes_ahead += len(entry.data)
            while len(waiting) >= _AHEAD or bytes_ahead > _AHEAD_BYTES:
                oldest, size, future = waiting.popleft()
                bytes_ahead -= size
                yield oldest, future.result()
        for oldest, _size, future in waiting:
            yield oldest, future.result()


def _decode(entry: PictureEntry, limits: ImageLimits) -> _Read:
    """Return the pixels, or the fault's name."""
    if entry.fault:
        return entry.fault
    try:
        return to_rgb_square(decode_photograph(entry.data, limits=limits).image)
    except PhotographError as error:
        return error.fault

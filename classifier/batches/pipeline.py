"""From an archive's entries to answers: some threads decode, others ask the model, and the order stays.

Pillow and OpenVINO both let other threads run while they compute, so that every core decodes or infers. A model that
computes on one thread is asked by as many threads as there are cores: on two cores of an AMD EPYC two threads took
1.28 ms of processor time for a picture (bf16), and one thread with a model on two 2.2 ms.
What is under way is bounded in pictures and in bytes, whatever the archive's size.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import numpy as np
from django.utils import translation
from numpy.typing import NDArray

from classifier.archives import ArchiveRejected, Entry
from classifier.images import ImageRejected, read_pixels, site_limits

if TYPE_CHECKING:
    from classifier.inference import Predictor, Scores

BATCH: Final = 64
"""Pictures that the model is asked about at once."""

_MOST_PICTURES: Final = 4 * BATCH  # decoded or waiting for it
_MOST_BYTES: Final = 32 * 1024 * 1024  # of files that wait to be decoded
CORES: Final = len(os.sched_getaffinity(0))

_Read = NDArray[np.uint8] | ImageRejected


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one entry.

    Attributes:
        index: Its place.
        name: As the archive has it.
        refusal: Why there is no answer; None where there is one.
        class_id: Number of the most probable class.
        probabilities: Of all classes, rounded.
        out_of_distribution: Whether it may show none of them.
    """

    index: int
    name: str
    refusal: ImageRejected | None = None
    class_id: int = -1
    probabilities: tuple[float, ...] = ()
    out_of_distribution: bool = False


_DECIMALS: Final = 6  # of a probability, as in the history


class Pipeline:
    """Answers entries.

    Args:
        predictor: The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._limits = site_limits()
        self._reading: deque[tuple[Entry, Future[_Read]]] = deque()
        self._reading_bytes = 0
        self._asking: deque[tuple[list[tuple[Entry, _Read]], Future[Scores] | None]] = deque()

    def answer(self, entries: Iterable[Entry]) -> Iterator[list[Answered]]:
        """Yield the answers to entries in their order, some at a time.

        Raises:
            ArchiveRejected: the archive cannot be read any further; what could be was yielded before.
            OSError: likewise.
        """
        decoders = ThreadPoolExecutor(CORES, thread_name_prefix="decode")
        model = ThreadPoolExecutor(CORES, thread_name_prefix="model")
        end: Exception | None = None
        try:
            try:
                for entry in entries:
                    self._reading.append((entry, decoders.submit(self._decode, entry)))
                    self._reading_bytes += len(entry.data)
                    while len(self._reading) >= _MOST_PICTURES or self._reading_bytes > _MOST_BYTES:
                        yield from self._advance(model)
            except (ArchiveRejected, OSError) as error:
                end = error
            while self._reading:
                yield from self._advance(model)
            while self._asking:
                yield self._finish()
            if end is not None:
                raise end
        finally:
            decoders.shutdown(wait=True, cancel_futures=True)
            model.shutdown(wait=True, cancel_futures=True)

    def _decode(self, entry: Entry) -> _Read:
        if entry.refusal is not None:
            return entry.refusal
        try:
            with translation.override("en"):  # what is stored is stored in English
                return read_pixels(entry.data, limits=self._limits)
        except ImageRejected as refusal:
            return refusal.with_traceback(None)  # its frames hold the file

    def _advance(self, model: ThreadPoolExecutor) -> Iterator[list[Answered]]:
        """Hand the oldest pictures that were decoded to the model, and yield what it has answered by then."""
        ready = [self._take_oldest()]
        ready.extend(self._take_oldest() for _ in takewhile(self._is_oldest_done, range(BATCH - 1)))
        pictures = [read for _entry, read in ready if not isinstance(read, ImageRejected)]
        future = model.submit(self._predictor.classify, np.stack(pictures)) if pictures else None
        self._asking.append((ready, future))
        while len(self._asking) > CORES:  # one waits for whoever is the first to be free
            yield self._finish()

    def _is_oldest_done(self, _number: int) -> bool:
        return bool(self._reading) and self._reading[0][1].done()

    def _take_oldest(self) -> tuple[Entry, _Read]:
        entry, future = self._reading.popleft()
        self._reading_bytes -= len(entry.data)
        return Entry(entry.index, entry.name), future.result()

    def _finish(self) -> list[Answered]:
        """Wait for the pictures that have been with the model for the longest."""
        ready, future = self._asking.popleft()
        rows = iter(() if future is None else _describe(future.result()))
        return [
            Answered(entry.index, entry.name, refusal=read)
            if isinstance(read, ImageRejected)
            else Answered(entry.index, entry.name, None, *next(rows))
            for entry, read in ready
        ]


def _describe(scores: Scores) -> Iterator[tuple[int, tuple[float, ...], bool]]:
    """Yield class, probabilities and doubt of each picture."""
    best = scores.logits.argmax(axis=1).tolist()
    shares = scores.probabilities.round(_DECIMALS).tolist()
    return zip(best, map(tuple, shares), scores.out_of_distribution, strict=True)

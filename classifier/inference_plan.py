"""How the champion computes on this machine, chosen by a measurement of a few tenths of a second when it is loaded.

Several processes may measure at the same time, and others may work meanwhile. So contestants take turns, each one's
fastest call counts (on two cores with ten processes at work, the fastest of some dozen calls of 1 to 3 ms took no
longer than its own processor time), and the plain choice, float32 on one thread and one image at a time, stays unless
another is clearly faster.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.openvino_runtime import BATCH, Network, Plan, is_fast_in_bf16
from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest

logger = logging.getLogger(__name__)

AUTO: Final = "auto"
WORTH: Final = 1.2
"""How many times faster a precision must be. The shipped model takes 2.43 ms in f32 and 1.13 ms in bf16 on an AMD EPYC
that has avx512_bf16."""

WORTH_OF_BATCHES: Final = 1.5
"""How many times faster batches must be: those who wait for each other lose what they gain, and the second graph costs
memory. On the same processor a picture took 2.43 ms alone and 2.30 ms among 8 in f32, 1.13 and 1.20 ms in bf16; batches
are for processors with AMX."""

WORTH_OF_THREADS: Final = 1.3
"""How many times faster several threads must be: they take cores from others. Two gave 1.7 in bf16, 1.3 in f32."""

_STAGE_SECONDS: Final = 0.12
_LEAST_ROUNDS, _MOST_ROUNDS = 2, 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the settings ask for.

    Attributes:
        precision: `f32`, `bf16` or `auto`.
        threads: of one inference; 0 measures.
        processes: how many processes of this machine answer at the same time and share its cores.
    """

    precision: str
    threads: int
    processes: int = 1


Check = Callable[[Network], None]
_known: Final[dict[tuple[str, Wishes], Plan]] = {}
"""What was measured before in this process, by package: one that comes back is only checked."""


def choose_network(package: PackageManifest, *, wishes: Wishes, check: Check) -> Network:
    """Compile the package in the way that is fastest here.

    Args:
        package: a verified package.
        wishes: what is not left to the measurement.
        check: raises PackageError when a network does not answer as the package says. A precision that fails it is not
            eligible.

    Raises:
        PackageError: no eligible precision.
        RuntimeError: OpenVINO cannot read the graph.
    """
    known = _known.get((package.sha256, wishes))
    if known is not None:
        network = Network(package, plan=known)
        check(network)
        return network
    images = np.zeros((BATCH, IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS), dtype=np.uint8)
    network = _choose_precision(package, wishes=wishes, check=check, image=images[:1])
    network = _choose_threads(package, network, wishes=wishes, image=images[:1])
    network = _choose_batch(package, network, images=images)
    check(network)
    plan = _known[package.sha256, wishes] = network.plan
    logger.info(
        "%s… answers in %s, with %d thread(s), %s.",
        package.sha256[:12],
        plan.precision,
        plan.threads,
        "each picture alone" if plan.batch_from is None else f"from {plan.batch_from} pictures on in one go",
    )
    return network


def fastest(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Return the milliseconds of each one's fastest call; they take turns, so that a disturbance hits them alike."""
    best = [math.inf] * len(calls)
    ends_at = perf_counter() + _STAGE_SECONDS
    rounds = 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and perf_counter() < ends_at):
        for index, call in enumerate(calls):
            began = perf_counter()
            call()
            best[index] = min(best[index], 1e3 * (perf_counter() - began))
        rounds += 1
    return best


def _choose_precision(package: PackageManifest, *, wishes: Wishes, check: Check, image: NDArray[np.uint8]) -> Network:
    threads = wishes.threads or 1
    exact = Network(package, plan=Plan("f32" if wishes.precision == AUTO else wishes.precision, threads))
    check(exact)
    if wishes.precision != AUTO or not is_fast_in_bf16():
        return exact
    short = Network(package, plan=Plan("bf16", threads))
    try:
        check(short)
    except PackageError as error:
        logger.warning("%s… is not served in bf16: %s", package.sha256[:12], error)
        return exact
    exact_ms, short_ms = fastest([lambda: exact.logits(image), lambda: short.logits(image)])
    logger.info("%s…: one picture takes %.2f ms in f32, %.2f ms in bf16.", package.sha256[:12], exact_ms, short_ms)
    return short if exact_ms >= WORTH * short_ms else exact


def _choose_threads(package: PackageManifest, network: Network, *, wishes: Wishes, image: NDArray[np.uint8]) -> Network:
    share = len(os.sched_getaffinity(0)) // wishes.processes
    if wishes.threads or share < 2:
        return network
    wide = Network(package, plan=replace(network.plan, threads=share))
    one_ms, wide_ms = fastest([lambda: network.logits(image), lambda: wide.logits(image)])
    logger.info(
        "%s…: one picture takes %.2f ms with 1 thread, %.2f ms with %d.", package.sha256[:12], one_ms, wide_ms, share
    )
    return wide if one_ms >= WORTH_OF_THREADS * wide_ms else network


def _choose_batch(package: PackageManifest, network: Network, *, images: NDArray[np.uint8]) -> Network:
    together = Network(package, plan=replace(network.plan, batch_from=BATCH))
    one_ms, batch_ms = fastest([lambda: network.logits(images[:1]), lambda: together.logits(images)])
    logger.info(
        "%s…: a picture takes %.2f ms alone, %.2f ms among %d.", package.sha256[:12], one_ms, batch_ms / BATCH, BATCH
    )
    if BATCH * one_ms < WORTH_OF_BATCHES * batch_ms:
        return network
    together.plan = replace(together.plan, batch_from=max(2, math.ceil(batch_ms / one_ms)))
    return together

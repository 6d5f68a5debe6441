"""The model that answers pictures, inside the web process: loaded from the champion's row, swapped while serving."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from numpy.typing import NDArray

from classifier.gathering import Gathering
from training.choices import ModelState
from training.engine.constants import IMAGE_CHANNELS, IMAGE_SIZE
from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, verify_package
from training.models import ModelVersion
from training.store import forget_copy

if TYPE_CHECKING:
    from classifier.openvino_runtime import Network

logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 1.0
"""The champion's row is looked at no more often than this: a promotion is seen within two seconds."""

_NO_CHAMPION = "No model version was promoted yet."

RETRY_SECONDS: Final = 10.0
"""A package that failed is tried again after this; verifying one reads megabytes."""

GOLDEN_TOLERANCE: Final = {"f32": 0.01, "bf16": 0.5}
"""Largest accepted difference of a logit from the manifest's, by precision."""


class ModelNotReady(Exception):  # noqa: N818  # it says what happened: the site is fine, its model is not there
    """No champion can answer at the moment: none was promoted, or its package is damaged.

    The message is for the log; it may name files.
    """


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says about N images.

    Attributes:
        logits: (N, K) float32.
        probabilities: (N, K) float64, calibrated: softmax(logits / temperature).
        out_of_distribution: for each image, whether it may show none of the classes.
        version_id: primary key of the `ModelVersion` that answered.
        sha256: hash of its package.
        class_keys: K names, in the order of the columns.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    out_of_distribution: tuple[bool, ...]
    version_id: int
    sha256: str
    class_keys: tuple[str, ...]


ScoreFunction = Callable[[NDArray[np.float32]], NDArray[np.float64]]


def _largest_logit(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score each image by its largest logit. Source: Hendrycks et al. 2022, arXiv 1911.11132."""
    largest: NDArray[np.float64] = logits.max(axis=1).astype(np.float64)
    return largest


def _log_sum_exp(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Score each image by its negative energy. Source: Liu et al. 2020, arXiv 2010.03759."""
    largest = logits.max(axis=1, keepdims=True).astype(np.float64)
    score: NDArray[np.float64] = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1))
    return score


SCORE_FUNCTIONS: Final[Mapping[str, ScoreFunction]] = {"energy": _log_sum_exp, "max_logit": _largest_logit}
"""Out-of-distribution scores by their name in manifests; they take the logits as they are, without the temperature."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """One verified model version, ready to answer. Any number of threads may use it at once.

    Attributes:
        version: its row, as it was when loaded.
        package: the verified package.
        network: the compiled graph.
        together: gathers single images of several threads, where batches are faster.
        score: how much an image looks like one of the classes: logits (N, K) → (N,).
        threshold: images whose score is lower may show none of them.
        temperature: by which logits are divided before the softmax.
    """

    version: ModelVersion
    package: PackageManifest
    network: Network
    together: Gathering[NDArray[np.uint8], NDArray[np.float32]] | None
    score: ScoreFunction
    threshold: float
    temperature: float

    def classify(self, pixels: NDArray[np.uint8], *, mirrored: bool = False) -> Scores:
        """Ask the model.

        Args:
            pixels: (N, 32, 32, 3) uint8, RGB.
            mirrored: average the logits of each image with those of its mirror image; it takes twice as long.
        """
        logits = self._logits(pixels)
        if mirrored:
            logits = (logits + self._logits(pixels[:, :, ::-1])) / np.float32(2)
        return Scores(
            logits=logits,
            probabilities=_softmax(logits / self.temperature),
            out_of_distribution=tuple(bool(value) for value in self.score(logits) < self.threshold),
            version_id=self.version.pk,
            sha256=self.package.sha256,
            class_keys=self.package.class_keys,
        )

    def _logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.together is None or len(pixels) != 1:
            return self.network.logits(pixels)
        return self.together.ask(pixels[0])[None]


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def load_predictor(version: ModelVersion, *, processes: int = 1) -> Predictor:
    """Verify the package of `version`, compile it as is fastest here and replay its golden samples.

    Args:
        version: the row.
        processes: how many processes of this machine answer at the same time.

    Raises:
        ModelNotReady: the package is damaged, or does not answer here as it did when it was made.
    """
    # 45 MB that commands and workers do without
    from classifier.inference_plan import Wishes, choose_network  # noqa: PLC0415
    from classifier.openvino_runtime import BATCH  # noqa: PLC0415

    try:
        package = verify_package(version.path)
        if package.sha256 != version.package_sha256:
            raise PackageError(f"{version.path} is another package than {version.package_sha256}.")
        foreign = package.raw["out_of_distribution"]
        score, threshold = _find_score(foreign["score"]), float(foreign["threshold"])
        temperature = package.temperature
        wishes = Wishes(settings.INFERENCE_PRECISION, settings.INFERENCE_THREADS, processes)
        network = choose_network(package, wishes=wishes, check=partial(replay_golden_samples, package))
    except (PackageError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        forget_copy(version.location)  # where the store is remote, the next try fetches it again
        message = f"The package of model version {version} cannot serve: {error or type(error).__name__}"
        raise ModelNotReady(message) from error
    together = Gathering[NDArray[np.uint8], NDArray[np.float32]](
        lambda images: list(network.logits(np.stack(images))), limit=BATCH
    )
    return Predictor(
        version=version,
        package=package,
        network=network,
        together=None if network.plan.batch_from is None else together,
        score=score,
        threshold=threshold,
        temperature=temperature,
    )


def _find_score(name: str) -> ScoreFunction:
    if name not in SCORE_FUNCTIONS:
        message = f"The manifest's out-of-distribution score is {name!r}; known are {' and '.join(SCORE_FUNCTIONS)}."
        raise PackageError(message)
    return SCORE_FUNCTIONS[name]


def replay_golden_samples(package: PackageManifest, network: Network) -> None:
    """Compare a network's answers with those that travel in the manifest; this also warms it up.

    Raises:
        PackageError: there is none to compare, or one differs by more than the precision explains.
    """
    samples = package.raw["golden_samples"]
    if not samples:
        message = "The manifest holds no golden sample."
        raise PackageError(message)
    images = np.stack([_golden_image(sample["image"]) for sample in samples])
    expected = np.array([sample["logits"] for sample in samples], dtype=np.float32)
    logits = network.logits(images)
    if logits.shape != expected.shape or logits.shape[1] != len(package.class_keys):
        message = f"The model gives {logits.shape} logits where the manifest has {expected.shape}."
        raise PackageError(message)
    worst = float(np.abs(logits - expected).max())
    tolerance = GOLDEN_TOLERANCE[network.plan.precision]
    if not worst <= tolerance or not np.array_equal(logits.argmax(axis=1), expected.argmax(axis=1)):
        message = f"A golden sample's logit is off by {worst:.4f}; {tolerance} is allowed."
        raise PackageError(message)


def _golden_image(encoded: str) -> NDArray[np.uint8]:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        message = "A golden sample is not base64."
        raise PackageError(message) from error
    return np.frombuffer(raw, dtype=np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)


class ChampionSlot:
    """Holds the predictor of the champion and swaps it when another version is promoted.

    The champion's row is looked at no more than once in `CHECK_SECONDS`, by one thread; the others go on with the
    predictor they know. Another version is loaded beside: verified, compiled, measured, its golden samples replayed,
    and only then swapped in. The swap replaces one reference: requests under way finish on the old predictor, which is
    freed after the last of them. A champion whose package is damaged leaves the loaded one serving.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.processes = 1
        self.forget()

    def forget(self) -> None:
        """Drop everything known, as a new process starts."""
        self._current: Predictor | None = None
        self._refusal = _NO_CHAMPION
        self._refused_sha256 = ""
        self._check_at = 0.0
        self._retry_at = 0.0
        self._loader: Thread | None = None

    def get(self) -> Predictor:
        """Return the predictor that answers now.

        Raises:
            ModelNotReady: there is none.
            OperationalError: the database did not answer.
        """
        # Whoever has nothing to serve with waits for the one that loads; the others do not.
        if monotonic() >= self._check_at and self._lock.acquire(blocking=self._current is None):
            try:
                self._look()
            finally:
                self._lock.release()
        current = self._current  # read once: another thread may be swapping it
        if current is None:
            # A new exception each time: one that is raised again keeps every traceback, and the uploads in its frames.
            raise ModelNotReady(self._refusal)
        return current

    def _look(self) -> None:
        """Compare what is loaded with the champion's row, and load what is missing. Called with the lock held."""
        if monotonic() < self._check_at:  # somebody else looked while this thread waited
            return
        champions = ModelVersion.objects.filter(state=ModelState.CHAMPION)
        row = champions.values_list("pk", "package_sha256").first()
        if row is None:
            self._current = None
            self._refusal = _NO_CHAMPION
        else:
            self._follow(*row)
        self._check_at = monotonic() + CHECK_SECONDS

    def _follow(self, pk: int, sha256: str) -> None:
        current = self._current
        if current is not None and (current.version.pk, current.package.sha256) == (pk, sha256):
            return
        if sha256 == self._refused_sha256 and monotonic() < self._retry_at:
            return
        version = ModelVersion.objects.get(pk=pk)
        if current is None:
            self._load(version)
        elif self._loader is None or not self._loader.is_alive():
            # Beside, for this thread has a request to answer, which the old predictor does meanwhile.
            self._loader = Thread(target=self._load, args=(version,), name="champion-swap", daemon=True)
            self._loader.start()

    def _load(self, version: ModelVersion) -> None:
        """Swap `version` in, or note why it cannot serve. Asks no database."""
        try:
            self._current = load_predictor(version, processes=self.processes)
        except ModelNotReady as refusal:
            logger.error("%s", refusal)
            self._refusal, self._refused_sha256 = str(refusal), version.package_sha256
            self._retry_at = monotonic() + RETRY_SECONDS
        else:
            self._refused_sha256 = ""
            logger.info("Model version %s (%s…) answers from now on.", version, version.package_sha256[:12])

    def settle(self) -> None:
        """Wait until a swap under way has ended."""
        if self._loader is not None:
            self._loader.join()


champion_slot: Final = ChampionSlot()
"""This process's slot."""


def predictor() -> Predictor:
    """Return the predictor of the current champion.

    Raises:
        ModelNotReady: no champion, or its package is damaged and none was loaded before.
        OperationalError: the database did not answer.
    """
    return champion_slot.get()


def warm_up(*, processes: int) -> Thread:
    """Load the champion beside the start of a web process, so that the first picture does not wait for it.

    Args:
        processes: how many web processes this machine has.
    """
    champion_slot.processes = processes
    thread = Thread(target=_try_to_load, name="champion-warm-up", daemon=True)
    thread.start()
    return thread


def _try_to_load() -> None:
    try:
        predictor()
    except (ModelNotReady, DatabaseFailure):
        pass  # the first request will say so, to whom it concerns
    finally:
        connection.close()

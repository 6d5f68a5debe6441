"""What follows a run as it trains and sends its figures to MLflow; nothing that goes wrong here stops a run.

A run hands its figures to a bounded queue and goes on. A thread of its own sends them, in order, each once; while
MLflow does not answer it keeps trying. Figures carry the time they were measured at, so that one sent twice after a
timeout is one figure in the store. MLflow answers slowly at first: see `training.tracking.store`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from django.conf import settings

from training.engine.events import EpochEndEvent
from training.engine.package import PackageManifest
from training.tracking.names import RunDescription
from training.tracking.store import (
    TrackedState,
    connect,
    ensure_run,
    is_refusal,
    log_figures,
    mlflow_errors,
    publish_package,
    set_environment,
    set_state,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUEUE_LENGTH: Final = 3_000  # calls: two phases of 1,000 epochs, the package and the end
CLOSE_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 5.0
_EPOCH_METRICS: Final = {
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_loss": "validation_loss",
    "val_acc": "validation_accuracy",
    "f1_macro": "f1_macro",
    "learning_rate": "learning_rate",
    "epoch_seconds": "seconds",
}
"""An epoch's figures: MLflow's name → the event's key."""

logger = logging.getLogger(__name__)

_Call = Callable[["MlflowClient", str], object]


class Tracker:
    """One run's mirror.

    Args:
        run: The run; when it is resumed, with its id in MLflow.
        uri: Where MLflow is; empty means that nothing is tracked.
    """

    def __init__(self, run: RunDescription, *, uri: str | None = None) -> None:
        self.run_id = run.run_id
        self._run = run
        self._uri = settings.MLFLOW_TRACKING_URI if uri is None else uri
        self._calls: queue.Queue[_Call | None] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._client: MlflowClient | None = None

    @property
    def is_open(self) -> bool:
        """Whether MLflow knows the run, by `run_id`, as one that is running."""
        return self._client is not None

    def start(self) -> None:
        """Open the run in MLflow, in the background. Harmless to repeat."""
        if self._uri and self._thread is None:
            set_environment()
            self._thread = threading.Thread(target=self._send_all, name=f"mlflow {self._run.name}", daemon=True)
            self._thread.start()

    def log_epoch(self, event: EpochEndEvent) -> None:
        """Send an epoch's figures, with the epoch as MLflow's step; those of two phases are told apart by name."""
        prefix = f"phase{event['phase']}_" if event["phase"] else ""
        figures = {f"{prefix}{name}": event[key] for name, key in _EPOCH_METRICS.items()}  # type: ignore[literal-required]
        self._log_metrics(figures, step=event["epoch"])

    def log_package(self, package: PackageManifest) -> None:
        """Send the final figures and the package's files, and register it as a version of the model."""
        self._put(partial(publish_package, package=package))

    def close(self, state: TrackedState | None, *, seconds: float = CLOSE_SECONDS) -> bool:
        """End the mirror. What MLflow does not take at once, or within `seconds` while it does answer, is given up.

        Args:
            state: Where the run stands now; None when that is for somebody else to say.
            seconds: How long to wait.

        Returns:
            Whether MLflow took everything but what it refused.
        """
        if self._thread is None:
            return False
        if state is not None:
            self._put(partial(set_state, state=state, at=datetime.now(UTC)))
        self._put(None)
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._given_up.set()
            logger.warning("MLflow is too slow for the end of %s; the run itself is complete.", self._run.name)
        return not self._given_up.is_set()

    def _log_metrics(self, figures: Mapping[str, float | None], *, step: int) -> None:
        known = {name: float(value) for name, value in figures.items() if value is not None}
        self._put(partial(log_figures, figures=known, step=step, at=datetime.now(UTC)))

    def _put(self, call: _Call | None) -> None:
        if self._thread is None or not self._thread.is_alive():
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            logger.warning("MLflow is too slow: a figure of %s is not tracked.", self._run.name)

    def _send_all(self) -> None:
        """Send what comes, in order, until the end. Runs in the thread."""
        is_answered = self._attempt(self._open)
        while is_answered and self._client is not None and (call := self._calls.get()) is not None:
            is_answered = not self._given_up.is_set() and self._attempt(partial(call, self._client, self.run_id))
        if not is_answered:
            self._given_up.set()

    def _attempt(self, action: Callable[[], object]) -> bool:
        """Act, and act again while MLflow does not answer; a call that it refuses is left out.

        Returns:
            False to give up: MLflow did not answer after the run had ended, or it is not installed.
        """
        while True:
            is_last = self._closing.is_set()
            try:
                action()
            except ImportError as error:
                logger.warning("MLFLOW_TRACKING_URI is set but MLflow is not installed: %s", error)
                return False
            except mlflow_errors() as error:
                if is_refusal(error):
                    logger.warning("MLflow refuses a part of %s: %.200s", self._run.name, error)
                    return True
                if is_last:
                    logger.warning(
                        "MLflow does not answer; %s is not tracked completely: %.200s", self._run.name, error
                    )
                    return False
                logger.info("MLflow does not answer, %s goes on: %.200s", self._run.name, error)
                self._closing.wait(_RETRY_SECONDS)
            else:
                return True

    def _open(self) -> None:
        """Connect, and make or continue the run."""
        client = connect(self._uri)
        self.run_id = ensure_run(client, self._run)
        set_state(client, self.run_id, TrackedState.RUNNING)
        self._client = client

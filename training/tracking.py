"""The mirror of training runs in MLflow. The only module that imports mlflow; nothing that goes wrong here stops a run.

A run hands its figures to a bounded queue and goes on. A thread of its own sends them, in order, each once; while
MLflow does not answer it keeps trying. Figures carry the time they were measured at, so that one sent twice after a
timeout is one figure in the store. MLflow answers slowly at first: importing it takes 2 s and making the tables of a
new SQLite store another 9 s (2 cores).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from training.engine.events import EpochEndEvent

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "CIFAR10_Classification"
QUEUE_LENGTH: Final = 2_000  # calls: a run of 1,000 epochs, its parameters and its end
CLOSE_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 5.0
_UNREACHABLE: Final = "INTERNAL_ERROR"  # MLflow's code for a server that fails or does not answer
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
# Read by mlflow when it is imported or calls. Its own defaults are 120 s and 7 repetitions.
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}

logger = logging.getLogger(__name__)


class TrackedEnd(StrEnum):
    """How MLflow calls the end of a run."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


_Call = Callable[["MlflowClient", str], object]


class Tracker:
    """One run's mirror.

    Args:
        name: The run's name in MLflow.
        parameters: Its configuration.
        tags: What else describes it.
        run_id: The MLflow run to continue, when the run is resumed.
        uri: Where MLflow is; empty means that nothing is tracked.
    """

    def __init__(
        self,
        *,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str],
        run_id: str = "",
        uri: str | None = None,
    ) -> None:
        self.run_id = run_id
        self._uri = settings.MLFLOW_TRACKING_URI if uri is None else uri
        self._name = name
        self._parameters = dict(parameters)
        self._tags = dict(tags)
        self._calls: queue.Queue[_Call | None] = queue.Queue(maxsize=QUEUE_LENGTH)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._client: MlflowClient | None = None

    def start(self) -> None:
        """Open the run in MLflow, in the background. Harmless to repeat."""
        if self._uri and self._thread is None:
            _set_environment()
            self._thread = threading.Thread(target=self._send_all, name=f"mlflow {self._name}", daemon=True)
            self._thread.start()

    def log_epoch(self, event: EpochEndEvent) -> None:
        """Send an epoch's figures, with the epoch as MLflow's step; those of two phases are told apart by name."""
        prefix = f"phase{event['phase']}_" if event["phase"] else ""
        figures = {f"{prefix}{name}": event[key] for name, key in _EPOCH_METRICS.items()}  # type: ignore[literal-required]
        self._log_metrics(figures, step=event["epoch"])

    def log_result(self, *, manifest: Mapping[str, Any], wall_seconds: float | None) -> None:
        """Send the test figures, and the package's manifest and configuration as artifacts."""
        metrics: Mapping[str, Any] = manifest["metrics"]
        figures = {f"test_{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
        self._log_metrics({**figures, "wall_seconds": wall_seconds}, step=0)
        self._put(partial(_log_dict, content=dict(manifest), file="manifest.json"))
        self._put(partial(_log_dict, content=dict(manifest["config"]), file="config.json"))

    def close(self, end: TrackedEnd | None, *, seconds: float = CLOSE_SECONDS) -> None:
        """End the mirror. What MLflow does not take at once, or within `seconds` while it does answer, is given up.

        Args:
            end: How the run ended; None leaves it open, for the worker that resumes it.
            seconds: How long to wait.
        """
        if self._thread is None:
            return
        if end is not None:
            self._put(partial(_end_run, status=str(end), end_time=_now_ms()))
        self._put(None)
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            logger.warning("MLflow is too slow for the end of %s; the run itself is complete.", self._name)

    def _log_metrics(self, figures: Mapping[str, float | None], *, step: int) -> None:
        known = {name: float(value) for name, value in figures.items() if value is not None}
        self._put(partial(_log_metrics, figures=known, step=step, timestamp=_now_ms()))

    def _put(self, call: _Call | None) -> None:
        if self._thread is None or not self._thread.is_alive():
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            logger.warning("MLflow is too slow: a figure of %s is not tracked.", self._name)

    def _send_all(self) -> None:
        """Send what comes, in order, until the end. Runs in the thread."""
        if not self._attempt(self._open) or self._client is None:
            return
        while (call := self._calls.get()) is not None:
            if not self._attempt(partial(call, self._client, self.run_id)):
                return

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
            except _mlflow_errors() as error:
                if getattr(error, "error_code", _UNREACHABLE) != _UNREACHABLE:
                    logger.warning("MLflow refuses a figure of %s: %.200s", self._name, error)
                    return True
                if is_last:
                    logger.warning("MLflow does not answer; %s is not tracked completely: %.200s", self._name, error)
                    return False
                logger.info("MLflow does not answer, %s goes on: %.200s", self._name, error)
                self._closing.wait(_RETRY_SECONDS)
            else:
                return True

    def _open(self) -> None:
        """Connect, and make or continue the run."""
        client = _connect(self._uri)
        if not self.run_id or not _reopen_run(client, self.run_id):
            self.run_id = client.create_run(
                _experiment_id(client, uri=self._uri), run_name=self._name, tags=self._tags
            ).info.run_id
        _log_parameters(client, self.run_id, parameters=self._parameters)
        self._client = client


class MlflowUnavailableError(Exception):
    """MLflow does not answer; the same call may succeed later."""


def end_run(run_id: str, end: TrackedEnd, *, ended_at: datetime) -> None:
    """End a run in MLflow that nobody is left to end; one that has ended keeps its end.

    Raises:
        MlflowUnavailableError: MLflow does not answer.
    """
    _set_environment()
    try:
        client = _connect(settings.MLFLOW_TRACKING_URI)
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, str(end), end_time=int(ended_at.timestamp() * 1000))
    except _mlflow_errors() as error:
        if getattr(error, "error_code", _UNREACHABLE) == _UNREACHABLE:
            raise MlflowUnavailableError from error
        logger.warning("MLflow refuses the end of run %s: %.200s", run_id, error)


def _set_environment() -> None:
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def _connect(uri: str) -> MlflowClient:
    from mlflow import MlflowClient  # noqa: PLC0415  # takes 2 s and 100 MB, which nothing but the thread should pay

    return MlflowClient(tracking_uri=uri)


def _mlflow_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises; network errors of its HTTP library are OSErrors."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # see `_connect`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    return (MlflowException, SQLAlchemyError, OSError)


def _experiment_id(client: MlflowClient, *, uri: str) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    is_local = uri.startswith("sqlite:")
    location = (Path(settings.VAR) / "mlflow-artifacts").as_uri() if is_local else None  # a server knows its own
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _reopen_run(client: MlflowClient, run_id: str) -> bool:
    """Set a run going again; False when the store does not know it any more."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # see `_connect`

    try:
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _log_parameters(client: MlflowClient, run_id: str, *, parameters: Mapping[str, object]) -> None:
    from mlflow.entities import Param  # noqa: PLC0415  # see `_connect`

    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])


def _log_metrics(client: MlflowClient, run_id: str, *, figures: Mapping[str, float], step: int, timestamp: int) -> None:
    from mlflow.entities import Metric  # noqa: PLC0415  # see `_connect`

    client.log_batch(run_id, metrics=[Metric(name, value, timestamp, step) for name, value in figures.items()])


def _log_dict(client: MlflowClient, run_id: str, *, content: dict[str, Any], file: str) -> None:
    client.log_dict(run_id, content, file)


def _end_run(client: MlflowClient, run_id: str, *, status: str, end_time: int) -> None:
    client.set_terminated(run_id, status, end_time=end_time)


def _now_ms() -> int:
    return int(time.time() * 1000)

"""MLflow itself: what is asked of it, each function safe to repeat. The only module that imports mlflow.

It does so when it is called, and in no process that only asks for work: mlflow costs 2 s and 80 MB, its SQLite store
another 60 MB, and making that store's tables 9 s once (2 cores).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from training.engine.package import PackageManifest
from training.tracking.names import Figures, RunDescription, name_figures

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT: Final = "CIFAR10_Classification"
MODEL: Final = "cifarsite"
CHAMPION: Final = "champion"
PACKAGE_TAG: Final = "package_sha256"
PACKAGE_FOLDER: Final = "model"  # of a run's artifacts
# What MLflow says of a request that it would refuse again; anything else may be different the next time.
_REFUSALS: Final = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
_HTTP_REFUSALS: Final = {400, 413}  # of files, which are sent without such a word
# Read by mlflow when it is imported or calls. Its own defaults are 120 s and 7 repetitions.
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where commands print JSON
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}

logger = logging.getLogger(__name__)


class TrackedState(StrEnum):
    """How MLflow calls where a run stands."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"  # it waits for a worker
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


ENDED: Final = frozenset({TrackedState.FINISHED, TrackedState.FAILED, TrackedState.KILLED})


class MlflowUnavailableError(Exception):
    """MLflow does not answer, or not as it should; the same call may succeed later."""


@contextmanager
def answers_expected(what: str) -> Iterator[None]:
    """Say of any error of MLflow's that `what` has to wait.

    Raises:
        MlflowUnavailableError: MLflow does not answer, not as it should, or is not installed here.
    """
    try:
        yield
    except ImportError as error:
        message = f"MLflow is not installed here: {error}"
        raise MlflowUnavailableError(message) from error
    except mlflow_errors() as error:
        message = f"MLflow does not take {what} now: {str(error)[:200]}"
        raise MlflowUnavailableError(message) from error


@contextmanager
def refusals_logged(what: str) -> Iterator[None]:
    """Leave out what MLflow refuses for good, with a line in the log that names `what`; other errors pass."""
    try:
        yield
    except mlflow_errors() as error:
        if not is_refusal(error):
            raise
        logger.warning("MLflow refuses %s: %.200s", what, error)


def set_environment() -> None:
    """Tell mlflow how patient to be, and not to phone home; before it is imported."""
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def connect(uri: str) -> MlflowClient:
    """Return a client of the MLflow at `uri`; nothing is sent yet."""
    set_environment()
    from mlflow import MlflowClient  # noqa: PLC0415  # see the module's docstring

    return MlflowClient(tracking_uri=uri)


def mlflow_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises; network errors of its HTTP library are OSErrors."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    return (MlflowException, SQLAlchemyError, OSError)


def is_refusal(error: Exception) -> bool:
    """Whether MLflow would answer the same to the same call later."""
    http_status = getattr(getattr(error, "response", None), "status_code", None)
    return getattr(error, "error_code", None) in _REFUSALS or http_status in _HTTP_REFUSALS


def find_run(client: MlflowClient, description: RunDescription) -> str:
    """Return the id of a described run, or nothing: the one that is named, else the first that has its tags."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    if description.run_id:
        try:
            if client.get_run(description.run_id).info.lifecycle_stage == "active":
                return description.run_id
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    found = _find_tagged(client, description, limit=1)
    return found[0] if found else ""


def find_doubles(client: MlflowClient, description: RunDescription) -> list[str]:
    """Return the ids of other runs with the tags of a described one, whose id is known.

    They are made by requests that MLflow carries out after whoever sent them gave up and sent another one.
    """
    return [run_id for run_id in _find_tagged(client, description, limit=100) if run_id != description.run_id]


def ensure_run(client: MlflowClient, description: RunDescription) -> str:
    """Return the id of a described run, which is made when there is none, with its parameters.

    It is looked for first because an answer may be lost: the run was made and nobody knows its id.
    """
    from mlflow.entities import Param  # noqa: PLC0415

    run_id = find_run(client, description)
    if not run_id:
        made = client.create_run(
            _ensure_experiment(client),
            start_time=None if description.started_at is None else _milliseconds(description.started_at),
            run_name=description.name,
            tags=dict(description.tags),
        ).info.run_id
        run_id = find_run(client, description)
        if run_id != made:  # somebody else made one at the same moment
            client.delete_run(made)
    if run_id != description.run_id:
        with refusals_logged(f"the parameters of {description.name}"):
            client.log_batch(run_id, params=[Param(name, value) for name, value in description.parameters.items()])
    return run_id


def discard_run(client: MlflowClient, run_id: str) -> None:
    """Put a run into MLflow's trash, if it is not there; it cannot be written to any more."""
    with refusals_logged(f"the end of its run {run_id}"):
        client.delete_run(run_id)


def set_state(client: MlflowClient, run_id: str, state: TrackedState, *, at: datetime | None = None) -> None:
    """Say where a run stands; one that has ended keeps its end when it is told of an end again.

    Args:
        client: The connection.
        run_id: The run.
        state: Where it stands.
        at: Since when, for an end; None for now.
    """
    if state not in ENDED:
        client.update_run(run_id, status=state.value)
    elif client.get_run(run_id).info.status not in ENDED:
        client.set_terminated(run_id, state.value, end_time=None if at is None else _milliseconds(at))


def read_state(client: MlflowClient, run_id: str) -> str:
    """Return where MLflow says that a run stands: a `TrackedState`."""
    return str(client.get_run(run_id).info.status)


def log_figures(client: MlflowClient, run_id: str, figures: Iterable[Figures]) -> None:
    """Send figures, of at most 1,000 numbers, in one call; those sent before are kept once."""
    from mlflow.entities import Metric  # noqa: PLC0415

    metrics = [
        Metric(name, value, _milliseconds(measured.at), measured.step)
        for measured in figures
        for name, value in measured.values.items()
    ]
    client.log_batch(run_id, metrics=metrics)


def read_figures(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    """Return what MLflow has under a name, as steps and values, in the order in which it was measured."""
    return [(figure.step, figure.value) for figure in client.get_metric_history(run_id, name)]


def find_version(client: MlflowClient, package_sha256: str) -> int | None:
    """Return the number of the registered version of a package, or None."""
    registered = _find_registered(client, package_sha256)
    return None if registered is None else int(registered.version)


def publish_package(client: MlflowClient, run_id: str, *, package: PackageManifest) -> int:
    """Add a package to its run: final figures, files and configuration; then register it as a version of the model.

    Returns:
        The version's number: the one that it has, when it was registered before.
    """
    registered = _find_registered(client, package.sha256)
    if registered is None or registered.run_id != run_id:
        measured_at = datetime.fromisoformat(package.raw["created_at"])
        log_figures(client, run_id, [Figures(values=name_figures(package.raw), step=0, at=measured_at)])
        client.log_dict(run_id, dict(package.raw["config"]), "config.json")
        client.log_artifacts(run_id, str(package.path), PACKAGE_FOLDER)
    return _register(client, run_id, package_sha256=package.sha256) if registered is None else int(registered.version)


def point_champion(client: MlflowClient, number: int) -> None:
    """Let the alias name version `number`, and no other."""
    client.set_registered_model_alias(MODEL, CHAMPION, str(number))


def find_champion(client: MlflowClient) -> str:
    """Return the hash of the package that the alias names; empty when it names none."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return str(client.get_model_version_by_alias(MODEL, CHAMPION).tags.get(PACKAGE_TAG, ""))
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:  # no model, no such alias
            raise
        return ""


def _find_tagged(client: MlflowClient, description: RunDescription, *, limit: int) -> list[str]:
    """Return the ids of runs that have a described one's tags, the first one first; not those in the trash."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in description.tags.items())
    order = ["attributes.start_time ASC", "attributes.run_id ASC"]
    found = client.search_runs([experiment.experiment_id], wanted, max_results=limit, order_by=order)
    return [str(run.info.run_id) for run in found]


def _ensure_experiment(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        is_server = client.tracking_uri.startswith("http")  # it knows where files go; a database does not
        location = None if is_server else (Path(settings.VAR) / "mlflow-artifacts").as_uri()
        with _unless_it_exists():
            client.create_experiment(EXPERIMENT, artifact_location=location)
        return _ensure_experiment(client)
    return str(experiment.experiment_id)


def _find_registered(client: MlflowClient, package_sha256: str) -> ModelVersion | None:
    wanted = f"name = '{MODEL}' and tags.{PACKAGE_TAG} = '{package_sha256}'"
    found = client.search_model_versions(wanted, max_results=1, order_by=["version_number ASC"])
    return found[0] if found else None


def _register(client: MlflowClient, run_id: str, *, package_sha256: str) -> int:
    """Make a version of the registered model whose source is the run's copy of the package."""
    with _unless_it_exists():
        client.create_registered_model(MODEL)
    source = f"{client.get_run(run_id).info.artifact_uri}/{PACKAGE_FOLDER}"
    tags = {PACKAGE_TAG: package_sha256}
    made = int(client.create_model_version(MODEL, source, run_id, tags=tags, await_creation_for=0).version)
    first = find_version(client, package_sha256)
    if first is not None and first != made:  # somebody else made one at the same moment
        client.delete_model_version(MODEL, str(made))
        return first
    return made


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    """Let somebody else have been quicker."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)

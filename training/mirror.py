"""Bringing MLflow to what the database says: where runs stand, which packages they made, who is champion.

A run's own worker tells most of it while it trains. The rest, and what MLflow or a worker was away for, is told by
tasks. They read the rows as they are at that moment, so that a message that comes late or twice does no harm.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Q, QuerySet

from training.choices import JobStatus
from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.models import ModelVersion, Promotion, TrainingRun
from training.tracking import RunDescription, TrackedState, name_parameters
from training.tracking.store import (
    PACKAGE_TAG,
    connect,
    ensure_run,
    find_version,
    point_champion,
    publish_package,
    refusals_logged,
    set_state,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATES: Final = {
    JobStatus.QUEUED: TrackedState.SCHEDULED,
    JobStatus.RUNNING: TrackedState.RUNNING,
    JobStatus.SUCCEEDED: TrackedState.FINISHED,
    JobStatus.FAILED: TrackedState.FAILED,
    JobStatus.CANCELLED: TrackedState.KILLED,
}

logger = logging.getLogger(__name__)


def describe_run(run: TrainingRun) -> RunDescription:
    """Return what MLflow is told of a run; number and moment together are this run's and no other site's."""
    return RunDescription(
        name=str(run),
        parameters=name_parameters(run.config, dataset=run.dataset.name, dataset_sha256=run.dataset.sha256),
        tags={"cifarsite.run": str(run.pk), "cifarsite.requested_at": run.requested_at.isoformat()},
        run_id=run.mlflow_run_id,
        started_at=run.started_at,
    )


def runs_behind() -> QuerySet[TrainingRun]:
    """Runs of which MLflow was last told something else than the database says; a running one's worker tells itself."""
    known = Q(status=JobStatus.RUNNING)
    for status, state in STATES.items():
        known |= Q(status=status, mlflow_state=state)
    return TrainingRun.objects.filter(fence__gt=0).exclude(known)


def mirror_run(pk: int) -> None:
    """Tell MLflow where run `pk` stands and, when it succeeded, give it the package.

    Raises:
        MlflowUnavailableError: MLflow does not answer.
    """
    run = runs_behind().filter(pk=pk).first() if settings.MLFLOW_TRACKING_URI else None
    while run is not None:
        run_id = run.mlflow_run_id
        with refusals_logged(f"the state of {run}"):
            run_id = _tell_state(run)
        unchanged = TrainingRun.objects.filter(pk=pk, status=run.status, fence=run.fence)
        if unchanged.update(mlflow_run_id=run_id, mlflow_state=STATES[JobStatus(run.status)]):
            return
        run = TrainingRun.objects.filter(pk=pk).first()  # claimed or cancelled meanwhile: tell that instead


def mirror_champion(pk: int) -> None:
    """Let MLflow's alias name the version that is champion now, whatever promotion `pk` made champion then.

    Raises:
        MlflowUnavailableError: MLflow does not answer.
    """
    untold = Promotion.objects.filter(pk__lte=pk, is_mirrored=False)
    if not settings.MLFLOW_TRACKING_URI or not untold.filter(pk=pk).exists():
        return
    named = None
    while (champion := ModelVersion.objects.champion()) != named and champion is not None:  # it may change meanwhile
        with refusals_logged(f"{champion} as champion"):
            _name_champion(champion)
        named = champion
    untold.update(is_mirrored=True)


def _tell_state(run: TrainingRun) -> str:
    """Bring MLflow's run to the row's state; returns its id. It is made where MLflow was away for all its length."""
    client = connect(settings.MLFLOW_TRACKING_URI)
    version = ModelVersion.objects.filter(run=run).first()
    run_id = ensure_run(client, describe_run(run))
    # Before the package: where files cannot be stored, runs end all the same.
    set_state(client, run_id, STATES[JobStatus(run.status)], at=run.finished_at)
    if version is not None:
        _publish(client, run_id, version=version)
    return run_id


def _name_champion(champion: ModelVersion) -> None:
    """Let the alias name `champion`, which is registered now if it was not; its run is made too if there is none."""
    client = connect(settings.MLFLOW_TRACKING_URI)
    number = find_version(client, champion.package_sha256)
    if number is None:
        made_at = datetime.fromisoformat(champion.manifest["created_at"])
        description = describe_run(champion.run) if champion.run else _describe_import(champion, made_at=made_at)
        run_id = ensure_run(client, description)
        set_state(client, run_id, TrackedState.FINISHED, at=made_at)
        number = _publish(client, run_id, version=champion)
    if number is not None:
        point_champion(client, number)
        logger.info("%s is MLflow's champion now, as version %d there", champion, number)


def _publish(client: MlflowClient, run_id: str, *, version: ModelVersion) -> int | None:
    """Register a version's package; returns its number in MLflow, None when it is damaged or refused."""
    try:
        package = verify_package(version.path)
    except (PackageError, OSError) as error:
        logger.warning("MLflow gets no copy of %s: %s", version, error)
        return None
    with refusals_logged(f"the package of {version}"):
        return publish_package(client, run_id, package=package)
    return None


def _describe_import(version: ModelVersion, *, made_at: datetime) -> RunDescription:
    """Return what MLflow is told of a package that was not trained here."""
    manifest, dataset = version.manifest, version.manifest["dataset"]
    return RunDescription(
        name=str(version),
        parameters=name_parameters(manifest["config"], dataset=dataset["name"], dataset_sha256=dataset["sha256"]),
        tags={PACKAGE_TAG: version.package_sha256},
        started_at=made_at - timedelta(seconds=manifest["wall_seconds"]),
    )

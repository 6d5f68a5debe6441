"""Bringing MLflow to what the database says: epochs, where runs stand, which packages they made, who is champion.

A run's own worker tells it while it trains. What MLflow or a worker was away for is told by tasks, with the same
functions. They read the rows as they are at that moment, so that a message that comes late or twice does no harm.

Epochs reach MLflow once each, in order, because of two marks in a run's row. `mlflow_offered_step` moves before epochs
are sent: MLflow may have them. `mlflow_taken_step` moves after its answer: MLflow has them. Those between the two are
sent again, with the same values and moments, and MLflow keeps one of each. Should epochs that it may have be trained
again, its run is given up for a new one (`TrainingRun.drop_epochs_after`).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest

from training.choices import TERMINAL_STATUSES, JobStatus
from training.engine.exceptions import PackageError
from training.engine.package import verify_package
from training.models import EpochMetric, ModelVersion, Promotion, TrainingRun
from training.tracking import RunDescription, TrackedState, name_parameters
from training.tracking.names import name_epoch
from training.tracking.store import (
    PACKAGE_TAG,
    answers_expected,
    connect,
    discard_run,
    ensure_run,
    find_doubles,
    find_version,
    log_figures,
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
_EPOCHS_AT_ONCE: Final = 100  # of seven figures each; MLflow takes 1,000 in one call

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


def untold_epochs() -> QuerySet[EpochMetric]:
    """Epochs that are MLflow's to have and that it does not have for certain, in order.

    Those after the newest checkpoint may have to be trained again: they come with the next checkpoint, or with the end.
    """
    is_final = Q(step__lte=F("run__checkpoint_step")) | Q(run__status__in=TERMINAL_STATUSES)
    return EpochMetric.objects.filter(is_final, step__gt=F("run__mlflow_taken_step")).order_by("step")


def runs_behind() -> QuerySet[TrainingRun]:
    """Runs of which MLflow was last told something else than the database says.

    A run gets no epochs while it does not run, and its state is told after them: only of a running one they count.
    """
    told = ~Exists(untold_epochs().filter(run=OuterRef("pk")))
    known = Q(told, status=JobStatus.RUNNING, mlflow_state=TrackedState.RUNNING)
    for status, state in STATES.items():
        if status != JobStatus.RUNNING:
            known |= Q(status=status, mlflow_state=state)
    return TrainingRun.objects.filter(fence__gt=0).exclude(known)


def mirror_run(pk: int) -> None:
    """Tell MLflow what it does not know of run `pk`: epochs, then where it stands, then the package of a success.

    Raises:
        MlflowUnavailableError: MLflow does not answer.
    """
    while settings.MLFLOW_TRACKING_URI and (run := runs_behind().filter(pk=pk).first()) is not None:
        with answers_expected(f"the state of {run}"):
            _tell(run)


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
        what = f"{champion} as champion"
        with answers_expected(what), refusals_logged(what):
            _name_champion(champion)
        named = champion
    untold.update(is_mirrored=True)


def _tell(run: TrainingRun) -> None:
    """Bring MLflow to what a row says, and note it; where the row has changed meanwhile, nothing is noted."""
    client = connect(settings.MLFLOW_TRACKING_URI)
    opened = _open(client, run)
    if opened is None:
        return
    _send_epochs(client, opened)
    state = STATES[JobStatus(opened.status)]
    if opened.mlflow_state == state:
        return
    # Before the package: where files cannot be stored, runs end all the same.
    with refusals_logged(f"the state of {run}"):
        set_state(client, opened.mlflow_run_id, state, at=opened.finished_at)
        if opened.is_terminal:
            for double in find_doubles(client, describe_run(opened)):
                discard_run(client, double)
    version = ModelVersion.objects.filter(run=run).first()
    if version is not None:
        _publish(client, opened.mlflow_run_id, version=version)
    same = _same_run(opened)
    if not same.filter(status=opened.status, fence=opened.fence).update(mlflow_state=state):
        same.update(mlflow_state="")  # claimed, ended or cancelled meanwhile, and MLflow was told the older state last


def _open(client: MlflowClient, run: TrainingRun) -> TrainingRun | None:
    """Find or make a row's run in MLflow; returns the row as it is then, None when somebody else was quicker."""
    if run.mlflow_stale_run_id:
        discard_run(client, run.mlflow_stale_run_id)
    run_id = ensure_run(client, describe_run(run))
    if run_id != run.mlflow_run_id:  # it has nothing yet, for all that is known
        fresh = {"mlflow_run_id": run_id, "mlflow_stale_run_id": "", "mlflow_state": ""}
        _same_run(run).filter(mlflow_stale_run_id=run.mlflow_stale_run_id).update(
            **fresh, mlflow_offered_step=0, mlflow_taken_step=0
        )
    now: TrainingRun | None = TrainingRun.objects.filter(pk=run.pk).first()
    if now is not None and now.mlflow_run_id == run_id:
        return now
    if now is not None and now.mlflow_run_id:  # two made one at the same moment, and each saw only its own
        discard_run(client, run_id)
    return None


def _send_epochs(client: MlflowClient, run: TrainingRun) -> None:
    """Send the epochs that MLflow does not have, in order, and note it after each call.

    What was sent and not noted, because the answer or the worker was lost, is sent again and is there once.
    """
    while epochs := _offer_epochs(run):
        with refusals_logged(f"epochs of {run}"):
            log_figures(client, run.mlflow_run_id, map(name_epoch, epochs))
        taken = epochs[0].run.mlflow_taken_step
        _same_run(run).filter(mlflow_taken_step=taken).update(mlflow_taken_step=epochs[-1].step)


def _offer_epochs(run: TrainingRun) -> list[EpochMetric]:
    """Return the next epochs to send, noted as those that MLflow may have from now on, whatever happens."""
    with transaction.atomic():
        if _same_run(run).select_for_update().first() is None:  # nobody drops an epoch between reading and noting
            return []
        epochs = list(untold_epochs().filter(run=run).select_related("run")[:_EPOCHS_AT_ONCE])
        if epochs:
            _same_run(run).update(mlflow_offered_step=Greatest("mlflow_offered_step", epochs[-1].step))
    return epochs


def _same_run(run: TrainingRun) -> QuerySet[TrainingRun]:
    """The row, unless MLflow's run for it is another one by now."""
    return TrainingRun.objects.filter(pk=run.pk, mlflow_run_id=run.mlflow_run_id)


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

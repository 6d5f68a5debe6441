"""Where a real MLflow store differs from the database, and how it is told again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.factories import EpochMetricFactory, ModelVersionFactory, TrainingRunFactory, in_state
from training.choices import JobStatus
from training.mirror import describe_run, mirror_champion, mirror_run
from training.mirror_audit import MirrorMismatch, find_mirror_mismatches, tell_again
from training.models import EpochMetric, ModelVersion, TrainingRun
from training.services import promote_version
from training.tracking import MODEL, MlflowUnavailableError, TrackedState
from training.tracking.store import CHAMPION, connect, find_version, point_champion, set_state

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture(autouse=True)
def client(mlflow_store: str, artifacts_root: object, settings: Settings) -> MlflowClient:
    settings.MLFLOW_TRACKING_URI = mlflow_store
    return connect(mlflow_store)


@pytest.fixture
def version() -> ModelVersion:
    """A version whose run of two epochs MLflow knows."""
    now = timezone.now()
    run = TrainingRunFactory.create(status=JobStatus.SUCCEEDED, fence=1, started_at=now, finished_at=now)
    for epoch in (1, 2):
        EpochMetricFactory.create(run=run, epoch=epoch)
    version: ModelVersion = ModelVersionFactory.create(run=run)
    mirror_run(run.pk)
    return version


@pytest.fixture
def run(version: ModelVersion) -> TrainingRun:
    return TrainingRun.objects.get(version=version)


def sentences() -> list[str]:
    return [mismatch.what for mismatch in find_mirror_mismatches()]


def test_what_was_told_differs_in_nothing(version: ModelVersion) -> None:
    mirror_champion(promote_version(version=version, by=None).pk)
    TrainingRunFactory.create()  # nobody had it yet
    TrainingRunFactory.create(status=JobStatus.RUNNING, fence=1)  # its worker tells
    assert find_mirror_mismatches() == []


def test_one_that_waits_is_named(run: TrainingRun) -> None:
    waiting = TrainingRunFactory.create(status=JobStatus.FAILED, fence=1)
    assert find_mirror_mismatches() == [MirrorMismatch(what=f"{waiting}: waits to be told.", run=waiting.pk)]


def test_another_state_is_named_and_told_again(run: TrainingRun, client: MlflowClient) -> None:
    set_state(client, run.mlflow_run_id, TrackedState.RUNNING)
    assert sentences() == [f"{run}: MLflow says RUNNING instead of FINISHED."]
    tell_again(run.pk)
    assert sentences() == [f"{run}: waits to be told."]
    mirror_run(run.pk)
    assert sentences() == []


def test_epochs_that_are_not_there_are_named_and_told_again(run: TrainingRun) -> None:
    EpochMetricFactory.create(run=run, epoch=3, validation_loss=None, validation_accuracy=None, f1_macro=None)
    names = ("train_loss", "train_acc", "learning_rate", "epoch_seconds")
    assert sentences() == [f"{run}: MLflow has other figures for {name}." for name in names]
    tell_again(run.pk)
    mirror_run(run.pk)
    assert sentences() == []


def test_another_value_is_named(run: TrainingRun) -> None:
    EpochMetric.objects.filter(run=run, epoch=2).update(train_loss=0.125)
    assert sentences() == [f"{run}: MLflow has other figures for train_loss."]


def test_a_figure_that_is_there_twice_is_named(run: TrainingRun, client: MlflowClient) -> None:
    client.log_metric(run.mlflow_run_id, "train_acc", 0.75, step=2)
    assert sentences() == [f"{run}: MLflow has other figures for train_acc."]


def test_a_second_run_is_named_and_discarded(run: TrainingRun, client: MlflowClient) -> None:
    experiment = client.get_run(run.mlflow_run_id).info.experiment_id
    double = client.create_run(experiment, tags=dict(describe_run(run).tags)).info.run_id
    assert sentences() == [f"{run}: MLflow has it more than once."]
    tell_again(run.pk)
    mirror_run(run.pk)
    assert client.get_run(double).info.lifecycle_stage == "deleted"
    assert sentences() == []


def test_a_run_that_is_gone_is_named_and_told_again(run: TrainingRun, client: MlflowClient) -> None:
    client.delete_run(run.mlflow_run_id)
    assert sentences() == [f"{run}: MLflow does not have it."]
    tell_again(run.pk)
    mirror_run(run.pk)
    assert sentences() == []


def test_a_package_that_is_not_registered_is_named_and_told_again(
    version: ModelVersion, run: TrainingRun, client: MlflowClient
) -> None:
    client.delete_model_version(MODEL, str(find_version(client, version.package_sha256)))
    assert sentences() == [f"{run}: MLflow has not registered its package."]
    tell_again(run.pk)
    mirror_run(run.pk)
    assert sentences() == []


def test_another_champion_is_named(version: ModelVersion, client: MlflowClient) -> None:
    promote_version(version=version, by=None)
    client.delete_registered_model_alias(MODEL, CHAMPION)
    assert sentences() == [f"MLflow does not name {version} as champion."]
    point_champion(client, find_version(client, version.package_sha256) or 0)
    assert sentences() == []


def test_a_running_one_is_not_told_again(run: TrainingRun) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.RUNNING))
    tell_again(run.pk)
    run.refresh_from_db()
    assert (run.mlflow_state, run.mlflow_taken_step) == ("FINISHED", 20)


@pytest.mark.parametrize(
    ("uri", "message"), [("", "Nothing is tracked here"), ("http://127.0.0.1:9", "does not take the comparison now")]
)
def test_what_cannot_be_compared_is_said(settings: Settings, run: TrainingRun, uri: str, message: str) -> None:
    settings.MLFLOW_TRACKING_URI = uri
    with pytest.raises(MlflowUnavailableError, match=message):
        find_mirror_mismatches()

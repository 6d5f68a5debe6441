"""MLflow brought to what the database says, in a real store: late, twice, by two at once, and while it is down."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ModelVersionFactory, TrainingRunFactory, in_state
from training import mirror
from training.choices import JobStatus
from training.mirror import describe_run, mirror_champion, mirror_run, runs_behind
from training.models import ModelVersion, Promotion, TrainingRun
from training.services import promote_version
from training.tracking import MODEL, MlflowUnavailableError, name_parameters
from training.tracking.store import CHAMPION, connect, ensure_run, find_run, find_version, point_champion, set_state

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture(autouse=True)
def client(mlflow_store: str, artifacts_root: object, settings: Settings) -> MlflowClient:
    settings.MLFLOW_TRACKING_URI = mlflow_store
    return connect(mlflow_store)


def make_run(status: JobStatus, **fields: Any) -> TrainingRun:
    """A run that some worker had, which began a minute before it ended."""
    now = timezone.now()
    finished_at = None if status in {JobStatus.QUEUED, JobStatus.RUNNING} else now
    times = {"started_at": now - timedelta(minutes=1), "finished_at": finished_at}
    run: TrainingRun = TrainingRunFactory.create(status=status, fence=1, **times, **fields)
    return run


def make_version(**options: Any) -> ModelVersion:
    """A version of a run that succeeded here."""
    version: ModelVersion = ModelVersionFactory.create(run=make_run(JobStatus.SUCCEEDED), **options)
    return version


def run_of(version: ModelVersion, client: MlflowClient) -> Run:
    """The MLflow run whose package is registered."""
    number = find_version(client, version.package_sha256)
    return client.get_run(client.get_model_version(MODEL, str(number)).run_id or "")


def versions_of(version: ModelVersion, client: MlflowClient) -> list[int]:
    found = client.search_model_versions(f"tags.package_sha256 = '{version.package_sha256}'")
    return [int(registered.version) for registered in found]


def champion_hash(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(MODEL, CHAMPION).tags["package_sha256"])


class TestRun:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (JobStatus.QUEUED, "SCHEDULED"),
            (JobStatus.FAILED, "FAILED"),
            (JobStatus.CANCELLED, "KILLED"),
        ],
    )
    def test_a_run_that_lost_its_worker_does_not_stay_running(
        self, client: MlflowClient, status: JobStatus, state: str
    ) -> None:
        run = make_run(status, mlflow_state="RUNNING")
        run_id = ensure_run(client, describe_run(run))  # its worker did not live to store the id
        for _delivery in range(2):
            mirror_run(run.pk)
        run.refresh_from_db()
        assert (run.mlflow_run_id, run.mlflow_state) == (run_id, state)
        info = client.get_run(run_id).info
        assert info.status == state
        assert info.end_time == (None if run.finished_at is None else int(run.finished_at.timestamp() * 1000))
        assert run.started_at is not None
        assert info.start_time == int(run.started_at.timestamp() * 1000)

    @pytest.mark.parametrize(("status", "state"), [(JobStatus.FAILED, "FAILED"), (JobStatus.CANCELLED, "KILLED")])
    def test_an_end_that_mlflow_was_away_for_is_told(self, client: MlflowClient, status: JobStatus, state: str) -> None:
        run = make_run(status)
        mirror_run(run.pk)
        run.refresh_from_db()
        assert client.get_run(run.mlflow_run_id).info.status == run.mlflow_state == state
        assert not runs_behind().exists()

    def test_a_run_that_was_cancelled_before_it_began_stays_unknown(self, client: MlflowClient) -> None:
        run = TrainingRunFactory.create(status=JobStatus.CANCELLED)
        mirror_run(run.pk)
        assert find_run(client, describe_run(run)) == ""

    def test_a_success_that_mlflow_was_away_for_is_told_with_its_package(self, client: MlflowClient) -> None:
        version = make_version()
        run = version.run
        assert run is not None
        for _delivery in range(8):
            mirror_run(run.pk)
        assert versions_of(version, client) == [find_version(client, version.package_sha256)]
        tracked = run_of(version, client)
        run.refresh_from_db()
        assert (run.mlflow_run_id, run.mlflow_state) == (tracked.info.run_id, "FINISHED")
        assert (tracked.info.run_name, tracked.info.status) == (str(run), "FINISHED")
        assert tracked.data.params == name_parameters(
            run.config, dataset=run.dataset.name, dataset_sha256=run.dataset.sha256
        )
        assert tracked.data.metrics["test_accuracy"] == version.test_accuracy

    def test_it_ends_although_its_files_cannot_be_stored(
        self, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_arguments: object, **_options: object) -> None:
            raise PermissionError

        monkeypatch.setattr(mirror, "publish_package", fail)
        run = make_version().run
        assert run is not None
        with pytest.raises(MlflowUnavailableError):
            mirror_run(run.pk)
        assert client.get_run(find_run(client, describe_run(run))).info.status == "FINISHED"
        assert list(runs_behind()) == [run]

    def test_a_damaged_package_is_not_copied(self, client: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
        version = make_version()
        with (version.path / "model.onnx").open("ab") as file:
            file.write(b"\n")
        assert version.run is not None
        mirror_run(version.run.pk)
        assert f"MLflow gets no copy of {version}" in caplog.text
        assert versions_of(version, client) == []
        assert not runs_behind().exists()

    def test_a_package_that_is_gone_is_named(self, client: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
        version = make_version()
        shutil.rmtree(version.path)
        assert version.run is not None
        mirror_run(version.run.pk)
        assert f"MLflow gets no copy of {version}" in caplog.text
        assert not runs_behind().exists()

    def test_a_package_that_cannot_be_read_is_named(
        self, client: MlflowClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_path: object) -> None:
            raise PermissionError

        monkeypatch.setattr(mirror, "verify_package", fail)
        version = make_version()
        assert version.run is not None
        mirror_run(version.run.pk)
        assert f"MLflow gets no copy of {version}" in caplog.text
        assert not runs_behind().exists()

    def test_a_run_that_is_claimed_meanwhile_is_told_as_running(
        self, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run(JobStatus.QUEUED)
        run_id = ensure_run(client, describe_run(run))

        def claim_first(*arguments: Any, **options: Any) -> None:
            monkeypatch.setattr(mirror, "set_state", set_state)
            assert TrainingRun.claim(run.pk, worker="other") is not None
            set_state(*arguments, **options)

        monkeypatch.setattr(mirror, "set_state", claim_first)
        mirror_run(run.pk)
        run.refresh_from_db()
        assert (run.status, run.mlflow_state) == (JobStatus.RUNNING, "RUNNING")
        assert client.get_run(run_id).info.status == "RUNNING"

    def test_what_is_told_late_of_an_older_state_is_put_right(
        self, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run(JobStatus.RUNNING)

        def end_first(*arguments: Any, **options: Any) -> None:
            monkeypatch.setattr(mirror, "set_state", set_state)
            TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.FAILED))
            mirror_run(run.pk)  # by another worker, which is quicker
            set_state(*arguments, **options)

        monkeypatch.setattr(mirror, "set_state", end_first)
        mirror_run(run.pk)
        run.refresh_from_db()
        assert client.get_run(run.mlflow_run_id).info.status == run.mlflow_state == "FAILED"

    def test_while_mlflow_is_down_it_stays_behind(self, settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
        run = make_run(JobStatus.CANCELLED, mlflow_run_id="a" * 32, mlflow_state="RUNNING")
        with pytest.raises(MlflowUnavailableError, match="the state of Run"):
            mirror_run(run.pk)
        assert list(runs_behind()) == [run]

    def test_nothing_is_told_where_nothing_is_tracked(self, settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = ""
        run = make_run(JobStatus.FAILED)
        mirror_run(run.pk)
        mirror_run(404)
        assert list(runs_behind()) == [run]


def test_behind_are_those_of_which_mlflow_knows_something_else() -> None:
    told = [
        (JobStatus.QUEUED, "SCHEDULED"),
        (JobStatus.RUNNING, "RUNNING"),
        (JobStatus.SUCCEEDED, "FINISHED"),
        (JobStatus.FAILED, "FAILED"),
        (JobStatus.CANCELLED, "KILLED"),
    ]
    for status, state in told:
        make_run(status, mlflow_state=state)
    TrainingRunFactory.create()
    TrainingRunFactory.create(status=JobStatus.CANCELLED)  # in the queue: no worker ever had it
    assert not runs_behind().exists()
    behind = [
        make_run(status, mlflow_state=state)
        for status in (JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
        for state in ("", "RUNNING")
    ]
    behind += [make_run(JobStatus.RUNNING, mlflow_state=state) for state in ("", "SCHEDULED")]
    assert set(runs_behind()) == set(behind)


class TestChampion:
    def test_the_alias_follows_promotions_and_rollbacks(self, client: MlflowClient) -> None:
        first, second = make_version(), make_version()
        for version in (first, second, first):
            mirror_champion(promote_version(version=version, by=None).pk)
            assert champion_hash(client) == version.package_sha256
        assert not Promotion.objects.filter(is_mirrored=False).exists()
        for version in (first, second):
            assert len(versions_of(version, client)) == 1
            assert run_of(version, client).info.status == "FINISHED"

    def test_the_one_that_is_champion_now_counts(self, client: MlflowClient) -> None:
        first, second = make_version(), make_version()
        promotions = [promote_version(version=version, by=None) for version in (first, second)]
        mirror_champion(promotions[1].pk)
        mirror_champion(promotions[0].pk)  # the older message comes later
        assert champion_hash(client) == second.package_sha256
        assert versions_of(first, client) == []

    def test_repeated_messages_do_no_harm(self, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
        version = make_version()
        promotion = promote_version(version=version, by=None)
        for _delivery in range(8):
            mirror_champion(promotion.pk)
        assert len(versions_of(version, client)) == 1
        monkeypatch.setattr(mirror, "connect", lambda _uri: pytest.fail("it asked MLflow again"))
        mirror_champion(promotion.pk)

    @pytest.mark.django_db(transaction=True)
    def test_messages_at_the_same_instant_leave_one_version(self, client: MlflowClient) -> None:
        version = make_version()
        promotion = promote_version(version=version, by=None)
        start = threading.Barrier(4)
        troubles: list[Exception] = []

        def deliver() -> None:
            start.wait()
            try:
                mirror_champion(promotion.pk)
            except MlflowUnavailableError as error:  # SQLite was locked: the task is repeated
                troubles.append(error)
            connection.close()

        threads = [threading.Thread(target=deliver) for _delivery in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        mirror_champion(promotion.pk)
        assert champion_hash(client) == version.package_sha256
        assert len(versions_of(version, client)) == 1, troubles

    def test_a_champion_that_changes_meanwhile_is_followed(
        self, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = make_version(), make_version()
        promotion = promote_version(version=first, by=None)

        def promote_meanwhile(client: MlflowClient, number: int) -> None:
            monkeypatch.setattr(mirror, "point_champion", point_champion)
            later = promote_version(version=second, by=None)
            mirror_champion(later.pk)  # by another worker, which is quicker
            point_champion(client, number)

        monkeypatch.setattr(mirror, "point_champion", promote_meanwhile)
        mirror_champion(promotion.pk)
        assert champion_hash(client) == second.package_sha256

    def test_one_that_was_not_trained_here_gets_a_run_of_its_own(self, client: MlflowClient) -> None:
        shipped: ModelVersion = ModelVersionFactory.create()
        mirror_champion(promote_version(version=shipped, by=None).pk)
        assert champion_hash(client) == shipped.package_sha256
        run = run_of(shipped, client)
        made_at = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
        assert (run.info.run_name, run.info.status) == (str(shipped), "FINISHED")
        assert (run.info.start_time, run.info.end_time) == (1000 * made_at - 100, 1000 * made_at)
        assert run.data.params == {"dataset": "colours", "dataset_sha256": "0" * 64}
        assert run.data.metrics["test_accuracy"] == 1.0

    def test_while_mlflow_is_down_the_promotion_stands_and_waits(self, settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
        version = make_version()
        promotion = promote_version(version=version, by=None)
        with pytest.raises(MlflowUnavailableError, match=f"{version} as champion"):
            mirror_champion(promotion.pk)
        assert ModelVersion.objects.champion() == version
        promotion.refresh_from_db()
        assert not promotion.is_mirrored

    def test_nothing_is_told_where_nothing_is_tracked(self, settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = ""
        promotion = promote_version(version=make_version(), by=None)
        mirror_champion(promotion.pk)
        promotion.refresh_from_db()
        assert not promotion.is_mirrored

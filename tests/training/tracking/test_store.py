"""What is asked of a real MLflow store, twice, and by two at once."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from requests import HTTPError, Response

from tests.tiny_model import build_package
from training.engine.package import PackageManifest, verify_package
from training.tracking import store
from training.tracking.names import Figures, RunDescription
from training.tracking.store import (
    CHAMPION,
    MODEL,
    MlflowUnavailableError,
    TrackedState,
    answers_expected,
    connect,
    discard_run,
    ensure_run,
    find_champion,
    find_run,
    find_version,
    log_figures,
    point_champion,
    publish_package,
    read_figures,
    refusals_logged,
    set_state,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

NUMBERS = itertools.count()
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(mlflow_store: str) -> MlflowClient:
    return connect(mlflow_store)


@pytest.fixture
def described() -> RunDescription:
    """A run that the store does not know yet."""
    return RunDescription(
        name="Run 1",
        parameters={"num_epochs": "2"},
        tags={"cifarsite.run": "1", "cifarsite.requested_at": f"2026-01-01T00:00:{next(NUMBERS):02}+00:00"},
        started_at=AT,
    )


@pytest.fixture
def package(tmp_path: Path) -> PackageManifest:
    """A package that the store does not know yet."""
    return verify_package(build_package(tmp_path, temperature=2.0 + 0.001 * next(NUMBERS)))


class TestRun:
    def test_it_is_made_once(self, client: MlflowClient, described: RunDescription) -> None:
        assert find_run(client, described) == ""
        run_id = ensure_run(client, described)
        assert ensure_run(client, described) == run_id  # as after an answer that was lost
        run = client.get_run(run_id)
        assert (run.info.run_name, run.info.start_time) == ("Run 1", 1000 * AT.timestamp())
        assert run.data.params == {"num_epochs": "2"}
        assert described.tags.items() <= run.data.tags.items()

    def test_two_who_make_it_at_once_agree(
        self, client: MlflowClient, described: RunDescription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = client.create_run

        def create_late(experiment: str, **options: Any) -> object:
            create(experiment, **{**options, "start_time": 1})
            return create(experiment, **options)

        monkeypatch.setattr(client, "create_run", create_late)
        run_id = ensure_run(client, described)
        assert client.get_run(run_id).info.start_time == 1
        experiment = client.get_run(run_id).info.experiment_id
        tag = described.tags["cifarsite.requested_at"]
        found = client.search_runs([experiment], f"tags.`cifarsite.requested_at` = '{tag}'")
        assert [run.info.run_id for run in found] == [run_id]

    def test_its_id_comes_first_when_the_store_knows_it(self, client: MlflowClient, described: RunDescription) -> None:
        run_id = ensure_run(client, described)
        elsewhere = RunDescription(name="", parameters={}, tags={"cifarsite.run": "other"}, run_id=run_id)
        assert find_run(client, elsewhere) == run_id
        client.delete_run(run_id)
        assert find_run(client, elsewhere) == ""

    def test_it_keeps_its_end_until_it_goes_on(self, client: MlflowClient, described: RunDescription) -> None:
        run_id = ensure_run(client, described)

        def state() -> tuple[str, int | None]:
            info = client.get_run(run_id).info
            return info.status, info.end_time

        assert state() == ("RUNNING", None)
        set_state(client, run_id, TrackedState.SCHEDULED)
        assert state() == ("SCHEDULED", None)
        set_state(client, run_id, TrackedState.FAILED, at=AT)
        set_state(client, run_id, TrackedState.KILLED, at=datetime(2027, 1, 1, tzinfo=UTC))
        assert state() == ("FAILED", 1000 * AT.timestamp())
        set_state(client, run_id, TrackedState.RUNNING)
        assert state()[0] == "RUNNING"

    def test_figures_sent_twice_are_there_once(self, client: MlflowClient, described: RunDescription) -> None:
        run_id = ensure_run(client, described)
        for _time in range(2):
            log_figures(client, run_id, [Figures(values={"train_loss": 0.5}, step=3, at=AT)])
        assert read_figures(client, run_id, "train_loss") == [(3, 0.5)]

    def test_of_figures_sent_before_only_the_others_are_added(
        self, client: MlflowClient, described: RunDescription
    ) -> None:
        run_id = ensure_run(client, described)
        epochs = [Figures(values={"train_loss": 1 / step, "train_acc": 0.1}, step=step, at=AT) for step in range(1, 5)]
        log_figures(client, run_id, epochs[:2])
        log_figures(client, run_id, epochs)
        assert read_figures(client, run_id, "train_loss") == [(step, 1 / step) for step in range(1, 5)]
        assert read_figures(client, run_id, "train_acc") == [(step, 0.1) for step in range(1, 5)]

    def test_one_that_was_discarded_takes_nothing_more(
        self, client: MlflowClient, described: RunDescription, caplog: pytest.LogCaptureFixture
    ) -> None:
        run_id = ensure_run(client, described)
        for _time in range(2):
            discard_run(client, run_id)
        discard_run(client, "0" * 32)
        assert find_run(client, described) == ""
        with refusals_logged("a late figure"):
            log_figures(client, run_id, [Figures(values={"train_loss": 0.5}, step=3, at=AT)])
        assert "MLflow refuses a late figure" in caplog.text


class TestPackage:
    def test_it_is_registered_once_with_all_its_files(
        self, client: MlflowClient, described: RunDescription, package: PackageManifest, tmp_path: Path
    ) -> None:
        run_id = ensure_run(client, described)
        number = publish_package(client, run_id, package=package)
        assert publish_package(client, run_id, package=package) == number == find_version(client, package.sha256)
        registered = client.get_model_version(MODEL, str(number))
        assert (registered.run_id, registered.tags) == (run_id, {"package_sha256": package.sha256})
        assert registered.source == f"{client.get_run(run_id).info.artifact_uri}/model"
        assert [file.path for file in client.list_artifacts(run_id)] == ["config.json", "model"]
        copy = Path(client.download_artifacts(run_id, "model", str(tmp_path)))
        copied = {path.name: path.read_bytes() for path in copy.iterdir()}
        assert copied == {path.name: path.read_bytes() for path in package.path.iterdir()}
        assert set(copied) == {"manifest.json", "model.onnx", "weights.safetensors"}
        assert client.get_run(run_id).data.metrics == {
            "test_loss": 0.0, "test_accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0, "top5_accuracy": 1.0,
            "test_ece": 0.0, "test_nll": 0.0, "total_training_time_seconds": 0.1,
        }  # fmt: skip

    def test_another_run_that_made_the_same_has_it_too(
        self, client: MlflowClient, described: RunDescription, package: PackageManifest
    ) -> None:
        runs = [ensure_run(client, dataclasses.replace(described, tags={"made": name})) for name in ("first", "second")]
        numbers = {publish_package(client, run_id, package=package) for run_id in runs}
        assert numbers == {find_version(client, package.sha256)}
        for run_id in runs:
            assert client.get_run(run_id).data.metrics["test_accuracy"] == 1.0
            assert len(client.list_artifacts(run_id, "model")) == 3

    def test_two_who_register_it_at_once_agree(
        self,
        client: MlflowClient,
        described: RunDescription,
        package: PackageManifest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        create = client.create_model_version
        others: list[int] = []

        def create_late(*arguments: Any, **options: Any) -> object:
            others.append(int(create(*arguments, **options).version))
            return create(*arguments, **options)

        monkeypatch.setattr(client, "create_model_version", create_late)
        assert publish_package(client, ensure_run(client, described), package=package) == others[0]
        found = client.search_model_versions(f"tags.package_sha256 = '{package.sha256}'")
        assert [int(version.version) for version in found] == others

    def test_the_champion_is_one_version(self, client: MlflowClient, described: RunDescription, tmp_path: Path) -> None:
        run_id = ensure_run(client, described)
        numbers = [
            publish_package(client, run_id, package=verify_package(build_package(tmp_path, temperature=temperature)))
            for temperature in (3.1, 3.2)
        ]
        for number in (*numbers, numbers[0], numbers[0]):
            point_champion(client, number)
            assert int(client.get_model_version_by_alias(MODEL, CHAMPION).version) == number
            registered = client.get_model_version(MODEL, str(number))
            assert find_champion(client) == registered.tags["package_sha256"]


def http_error(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(f"{status} from the server", response=response)


def mlflow_error(code: str) -> Callable[[], Exception]:
    def make() -> Exception:
        from mlflow.exceptions import RestException

        error: Exception = RestException({"error_code": code, "message": "says MLflow"})  # type: ignore[no-untyped-call]
        return error

    return make


@pytest.mark.parametrize(
    "make_error",
    [
        mlflow_error("INVALID_PARAMETER_VALUE"),
        mlflow_error("RESOURCE_DOES_NOT_EXIST"),
        lambda: http_error(413),
    ],
)
def test_a_refusal_is_final(make_error: Callable[[], Exception], caplog: pytest.LogCaptureFixture) -> None:
    with refusals_logged("the end of Run 1"):
        raise make_error()
    assert caplog.record_tuples[0][:2] == (store.logger.name, logging.WARNING)
    assert "MLflow refuses the end of Run 1: " in caplog.text


@pytest.mark.parametrize(
    "make_error",
    [
        mlflow_error("INTERNAL_ERROR"),
        mlflow_error("TEMPORARILY_UNAVAILABLE"),  # a SQLite store that somebody else is writing to
        mlflow_error("PERMISSION_DENIED"),
        lambda: http_error(503),
        lambda: ConnectionRefusedError("refused"),
        lambda: ModuleNotFoundError("No module named 'mlflow'"),
    ],
)
def test_anything_else_may_pass(make_error: Callable[[], Exception], caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(MlflowUnavailableError, match=r"the end of Run 1 now|not installed"),
        answers_expected("the end of Run 1"),
        refusals_logged("a part of it"),
    ):
        raise make_error()
    assert caplog.text == ""


def test_mlflow_is_told_not_to_phone_home(client: MlflowClient) -> None:
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]) == ("true", "true")

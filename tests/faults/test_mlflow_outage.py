"""MLflow is away, hangs or loses answers; a worker is killed; an epoch is trained again: every figure is there once.

A real MLflow server behind a filter that fails on request, the stand-in engine, and the real runner.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.factories import (
    EpochMetricFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    in_state,
    make_config,
    make_transfer_run,
)
from tests.fixtures import StubEngine, shared_environment
from tests.mlflow_server import Fault, MlflowServer
from training import mirror
from training.checkpoints import find_checkpoint
from training.choices import JobStatus
from training.engine.events import Event
from training.mirror import describe_run, mirror_run, runs_behind
from training.models import EpochMetric, TrainingRun
from training.processes import kill_group, spawn
from training.runner import execute_run
from training.supervisor import Timings
from training.tracking import CLOSE_SECONDS, EXPERIMENT, MlflowUnavailableError, follower
from training.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stub_engine")]

QUICK = Timings(poll=0.02, heartbeat=0.1, lease=5.0, grace=2.0, progress=20.0)
FINAL = {
    "test_loss", "test_accuracy", "precision", "recall", "f1", "top5_accuracy", "test_ece", "test_nll",
    "total_training_time_seconds",
}  # fmt: skip
NAMES = {
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_loss": "validation_loss",
    "val_acc": "validation_accuracy",
    "f1_macro": "f1_macro",
    "learning_rate": "learning_rate",
    "epoch_seconds": "seconds",
}
WORKER = """
import sys, django
django.setup()
from training import run_work
from training.runner import execute_run
run_work.engine_command = lambda *arguments: [sys.executable, "-m", "tests.stub_engine", *arguments]
execute_run(int(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _try_again_at_once(monkeypatch: pytest.MonkeyPatch, mlflow_server: MlflowServer) -> Iterator[None]:
    monkeypatch.setattr(follower, "_RETRY_SECONDS", 0.05)
    yield
    mlflow_server.recover()
    for thread in threading.enumerate():
        if thread.name.startswith("mlflow "):  # it would go on in the next test's database
            thread.join(60)


@pytest.fixture
def client(mlflow_server: MlflowServer) -> MlflowClient:
    return connect(mlflow_server.uri)


def request_run(*, epochs: int = 5) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(config=make_config(epochs=epochs))
    return run


def ended_run(*, epochs: int = 3) -> TrainingRun:
    """A run that failed while MLflow was away from its first to its last moment."""
    now = timezone.now()
    times = {"started_at": now - timedelta(minutes=1), "finished_at": now}
    run: TrainingRun = TrainingRunFactory.create(status=JobStatus.FAILED, fence=1, **times)
    for epoch in range(1, epochs + 1):
        EpochMetricFactory.create(run=run, epoch=epoch)
    return run


def during(kind: str, action: Callable[[], object], *, number: int = 1) -> Callable[[Event], None]:
    """Return a listener that acts at the given event of a kind."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += event["event"] == kind
        if event["event"] == kind and seen == number:
            action()

    return listen


def measured(run: TrainingRun) -> dict[str, list[tuple[int, float, int]]]:
    """What the rows say, under MLflow's names: step, value and moment of every figure, in order."""
    figures = defaultdict(list)
    for row in run.epochs.order_by("step"):
        prefix = f"phase{row.phase}_" if row.phase else ""
        for name, field in NAMES.items():
            if (value := getattr(row, field)) is not None:
                figures[prefix + name].append((row.epoch, value, int(row.measured_at.timestamp() * 1000)))
    return dict(figures)


def recorded(run_id: str, client: MlflowClient) -> dict[str, list[tuple[int, float, int]]]:
    """What MLflow says of the epochs."""
    names = client.get_run(run_id).data.metrics.keys() - FINAL
    return {
        name: [(figure.step, figure.value, figure.timestamp) for figure in client.get_metric_history(run_id, name)]
        for name in names
    }


def runs_of(run: TrainingRun, client: MlflowClient) -> list[Run]:
    """MLflow's runs for a row, without those in its trash."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    tags = " and ".join(f"tags.`{name}` = '{value}'" for name, value in describe_run(run).tags.items())
    return list(client.search_runs([experiment.experiment_id], tags))


def assert_mirrored(run: TrainingRun, client: MlflowClient) -> None:
    """MLflow has one run for the row, in its state, with each figure of each epoch once, in order."""
    run.refresh_from_db()
    [tracked] = runs_of(run, client)
    assert tracked.info.run_id == run.mlflow_run_id
    assert tracked.info.status == run.mlflow_state == mirror.STATES[JobStatus(run.status)]
    assert tracked.data.params["dataset_sha256"] == run.dataset.sha256
    rows = measured(run)
    assert rows
    assert recorded(run.mlflow_run_id, client) == rows
    assert not runs_behind().filter(pk=run.pk).exists()


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.HANG, Fault.DROP])
@pytest.mark.parametrize("moment", [("started", 1), ("epoch_end", 3), ("finished", 1)])
def test_an_outage_until_after_the_run_s_end(
    stub_engine: StubEngine, mlflow_server: MlflowServer, client: MlflowClient, fault: Fault, moment: tuple[str, int]
) -> None:
    stub_engine.behave("ok", seconds=0.1)
    run = request_run()
    start = time.monotonic()
    kind, number = moment
    execute_run(run.pk, timings=QUICK, listener=during(kind, lambda: mlflow_server.fail(fault), number=number))
    # Nothing waits for MLflow but the end, and that for one answer; the rest is for a machine that does much else.
    assert time.monotonic() - start < 2 * CLOSE_SECONDS
    run.refresh_from_db()
    assert (run.status, run.epochs.count()) == (JobStatus.SUCCEEDED, 5)
    mlflow_server.recover()
    mirror_run(run.pk)
    assert_mirrored(run, client)
    assert len(client.list_artifacts(run.mlflow_run_id, "model")) == 3


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.HANG, Fault.DROP])
def test_an_outage_in_the_middle_is_made_up_for_by_the_run_s_own_worker(
    stub_engine: StubEngine, mlflow_server: MlflowServer, client: MlflowClient, fault: Fault
) -> None:
    stub_engine.behave("ok", seconds=0.1)
    run = request_run(epochs=8)
    fail = during("epoch_end", lambda: mlflow_server.fail(fault), number=2)
    recover = during("epoch_end", mlflow_server.recover, number=6)

    def listen(event: Event) -> None:
        fail(event)
        recover(event)

    execute_run(run.pk, timings=QUICK, listener=listen)
    assert_mirrored(run, client)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.DROP])
def test_whichever_call_fails_or_loses_its_answer(
    mlflow_server: MlflowServer, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """As when the worker is killed there: nothing is done after an error."""
    monkeypatch.setattr(mirror, "_EPOCHS_AT_ONCE", 2)
    failing = 0
    while True:
        failing += 1
        run = ended_run(epochs=5)
        version = ModelVersionFactory.create(run=run)
        mlflow_server.recover()
        mlflow_server.on_request = lambda _path, number=failing: (  # type: ignore[misc]
            mlflow_server.fail(fault) if len(mlflow_server.paths) == number else None
        )
        try:
            mirror_run(run.pk)
        except MlflowUnavailableError:
            mlflow_server.recover()
            mirror_run(run.pk)
        else:
            break  # there was no such call
        assert_mirrored(run, client)
        assert len(client.search_model_versions(f"tags.package_sha256 = '{version.package_sha256}'")) == 1
    assert failing > 12


@pytest.mark.parametrize("call", [1, 3])
def test_a_worker_that_is_killed_while_it_sends_epochs(
    mlflow_server: MlflowServer, client: MlflowClient, stub_engine: StubEngine, call: int
) -> None:
    stub_engine.behave("ignore-sigterm", seconds=0.3)  # it trains until it is killed, with the worker
    run = request_run()
    environment = {**shared_environment(), "MLFLOW_TRACKING_URI": mlflow_server.uri}
    worker = spawn([sys.executable, "-c", WORKER, str(run.pk)], env=environment)

    def kill_at_last(path: str) -> None:
        if path == "log-batch" and mlflow_server.paths.count(path) == call + 1:  # the first one has the parameters
            worker.send_signal(signal.SIGKILL)

    mlflow_server.on_request = kill_at_last
    try:
        assert worker.wait(300) == -signal.SIGKILL
    finally:
        kill_group(worker)
    mlflow_server.recover()
    TrainingRun.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert TrainingRun.objects.reap_expired() == 1
    stub_engine.behave("ok")
    execute_run(run.pk, timings=QUICK)
    run.refresh_from_db()
    assert (run.status, run.fence) == (JobStatus.SUCCEEDED, 2)
    assert_mirrored(run, client)


def test_epochs_wait_for_their_checkpoint(client: MlflowClient) -> None:
    run = ended_run(epochs=3)
    TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.RUNNING), checkpoint_step=20)
    mirror_run(run.pk)
    run.refresh_from_db()
    assert (run.mlflow_offered_step, run.mlflow_taken_step) == (20, 20)
    assert [step for step, _value, _at in recorded(run.mlflow_run_id, client)["train_loss"]] == [1, 2]
    run.drop_epochs_after(20)  # its worker is lost: the third one is trained again
    EpochMetricFactory.create(run=run, epoch=3, train_loss=9.0)
    TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.CANCELLED))
    before = run.mlflow_run_id
    mirror_run(run.pk)
    assert_mirrored(run, client)
    assert run.mlflow_run_id == before


def test_epochs_trained_again_after_mlflow_had_them_get_another_run(
    stub_engine: StubEngine, client: MlflowClient
) -> None:
    run = request_run(epochs=4)
    stub_engine.behave("killed")
    for _epoch in (1, 2):
        execute_run(run.pk, timings=QUICK)
    for thread in threading.enumerate():  # those of the two claims may still be telling
        if thread.name.startswith("mlflow "):
            thread.join(10)
    TrainingRun.objects.filter(pk=run.pk).update(mlflow_state="")
    mirror_run(run.pk)
    run.refresh_from_db()
    assert (run.status, run.checkpoint_step, run.mlflow_taken_step) == (JobStatus.QUEUED, 20, 20)
    before, first = run.mlflow_run_id, measured(run)
    newest = find_checkpoint(run)
    assert newest is not None
    (newest / "tensors.safetensors").write_bytes(b"damaged")
    stub_engine.behave("ok")
    execute_run(run.pk, timings=QUICK)
    assert_mirrored(run, client)
    assert measured(run)["train_loss"][0] == first["train_loss"][0]
    assert measured(run)["train_loss"][1] != first["train_loss"][1]  # measured at another moment
    assert run.mlflow_run_id != before
    assert client.get_run(before).info.lifecycle_stage == "deleted"


def test_epochs_that_are_dropped_while_they_are_sent(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended_run(epochs=3)
    log_figures = vars(mirror)["log_figures"]

    def train_again_first(*arguments: Any) -> None:
        monkeypatch.setattr(mirror, "log_figures", log_figures)
        TrainingRun.objects.get(pk=run.pk).drop_epochs_after(10)
        for epoch in (2, 3):
            EpochMetricFactory.create(run=run, epoch=epoch, train_loss=9.0)
        log_figures(*arguments)

    monkeypatch.setattr(mirror, "log_figures", train_again_first)
    mirror_run(run.pk)
    assert_mirrored(run, client)
    assert [value for _step, value, _at in recorded(run.mlflow_run_id, client)["train_loss"]] == [2.3, 9.0, 9.0]


def test_workers_that_tell_at_the_same_instant(
    mlflow_server: MlflowServer, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_EPOCHS_AT_ONCE", 3)
    run = ended_run(epochs=20)
    start = threading.Barrier(4)

    def tell() -> None:
        start.wait()
        try:
            mirror_run(run.pk)
        except MlflowUnavailableError:  # its store was locked
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=tell) for _worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mirror_run(run.pk)
    assert_mirrored(run, client)


def test_a_store_that_was_emptied_gets_everything_anew(client: MlflowClient) -> None:
    run = ended_run()
    mirror_run(run.pk)
    run.refresh_from_db()
    before = run.mlflow_run_id
    client.delete_run(before)
    TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.CANCELLED))
    mirror_run(run.pk)
    assert_mirrored(run, client)
    assert run.mlflow_run_id != before


def test_both_phases_of_a_run_are_told_apart(client: MlflowClient) -> None:
    run = make_transfer_run(fence=1, finished_at=timezone.now())
    mirror_run(run.pk)
    assert_mirrored(run, client)
    steps = {name: [step for step, _value, _at in figures] for name, figures in measured(run).items()}
    assert steps == {f"phase{phase}_{name}": [1, 2] for phase in (1, 2) for name in NAMES}


def test_more_epochs_than_one_call_takes(mlflow_server: MlflowServer, client: MlflowClient) -> None:
    run = ended_run(epochs=1)
    rows = [EpochMetric.objects.get(run=run)]
    rows[0].delete()
    fields = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds")
    EpochMetric.objects.bulk_create(
        EpochMetric(run=run, epoch=epoch, step=10 * epoch, f1_macro=1 / epoch, **dict.fromkeys(fields, 0.5))
        for epoch in range(1, 251)
    )
    mlflow_server.recover()
    mirror_run(run.pk)
    assert mlflow_server.paths.count("log-batch") == 4  # parameters, then 100, 100 and 50 epochs
    assert_mirrored(run, client)

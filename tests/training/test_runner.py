"""Jobs from claim to end, with a stand-in engine: what is in the rows and on the disk afterwards."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.utils import OperationalError
from pytest_django import Settings

from tests.factories import DatasetFactory, DatasetImportFactory, TrainingRunFactory, make_config
from tests.fixtures import StubEngine
from training import import_work, run_work, runner
from training.checkpoints import find_checkpoint
from training.choices import ImportSource, JobStatus, ModelState, Priority, Reason
from training.devices import Gpu, hold_devices
from training.doorbell import EXECUTE_IMPORT, EXECUTE_RUN
from training.engine.events import Event, FinishedEvent
from training.jobs import MAX_ATTEMPTS
from training.mirror import describe_run
from training.models import Dataset, DatasetImport, EpochMetric, ModelVersion, TrainingRun
from training.runner import execute_import, execute_next_import, execute_next_run, execute_run
from training.services import request_import
from training.stopping import worker_stopping
from training.supervisor import Timings
from training.tracking.store import connect, find_run, find_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

QUICK = Timings(poll=0.02, heartbeat=0.1, lease=1.0, grace=0.5, progress=5.0)


@pytest.fixture(autouse=True)
def _lower_the_flag() -> Iterator[None]:
    yield
    worker_stopping.clear()


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    bells: list[tuple[str, int]] = []
    monkeypatch.setattr(runner, "ring", lambda task, pk: bells.append((task, pk)))
    return bells


def at(kind: str, action: Callable[[], object]) -> Callable[[Event], None]:
    """Return a listener that acts at the first event of a kind."""
    waiting = [action]

    def listen(event: Event) -> None:
        if event["event"] == kind and waiting:
            waiting.pop()()

    return listen


class TestTurns:
    @pytest.fixture(autouse=True)
    def _engine(self, stub_engine: StubEngine) -> None:
        """Use the stand-in."""

    def test_whoever_is_rung_for_the_first_in_turn_is_trained(self, rung: list[tuple[str, int]]) -> None:
        runs = [
            TrainingRunFactory.create(config=make_config(epochs=1), priority=priority)
            for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
        ]
        execute_next_run(timings=QUICK)
        states = [TrainingRun.objects.get(pk=run.pk).status for run in runs]
        assert states == [JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.SUCCEEDED]
        assert rung == [(EXECUTE_RUN, runs[1].pk)]  # whose turn it is now

    def test_a_run_is_followed_by_the_one_that_waited_for_it(self, rung: list[tuple[str, int]]) -> None:
        first = TrainingRunFactory.create(config=make_config(epochs=1))
        second = TrainingRunFactory.create(config=make_config(epochs=1), after=first)
        execute_next_run(timings=QUICK)
        assert rung == [(EXECUTE_RUN, second.pk)]

    def test_a_machine_trains_no_more_than_it_has_devices_for(self) -> None:
        run = TrainingRunFactory.create(config=make_config(epochs=1))
        with hold_devices(1):
            execute_next_run(timings=QUICK)
            execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.fence) == (JobStatus.QUEUED, 0)

    def test_a_run_for_more_cards_than_there_are_is_left_to_other_machines(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.devices.list_gpus", lambda: (Gpu(id="7", name="Alpha"),))
        wide = TrainingRunFactory.create(config=make_config(devices=2))
        narrow = TrainingRunFactory.create(config=make_config(epochs=1))
        execute_next_run(timings=QUICK)
        wide.refresh_from_db()
        narrow.refresh_from_db()
        assert (wide.status, narrow.status) == (JobStatus.QUEUED, JobStatus.SUCCEEDED)

    def test_an_engine_sees_its_own_cards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.devices.list_gpus", lambda: (Gpu(id="7", name="Alpha"),))
        seen: list[dict[str, str]] = []
        original = vars(runner)["supervise"]

        def supervise(*args: Any, environment: dict[str, str], **options: Any) -> object:
            seen.append(environment)
            return original(*args, environment=environment, **options)

        monkeypatch.setattr(runner, "supervise", supervise)
        TrainingRunFactory.create(config=make_config(epochs=1))
        execute_next_run(timings=QUICK)
        assert seen == [{"CUDA_VISIBLE_DEVICES": "7"}]

    def test_imports_take_turns_too(self, rung: list[tuple[str, int]]) -> None:
        first, second = DatasetImportFactory.create_batch(2)
        execute_next_import()
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.status, second.status) == (JobStatus.SUCCEEDED, JobStatus.QUEUED)
        assert rung == [(EXECUTE_IMPORT, second.pk)]

    def test_without_any_job_nothing_happens(self, rung: list[tuple[str, int]]) -> None:
        execute_next_run(timings=QUICK)
        execute_next_import()
        assert rung == []


class TestRun:
    @pytest.fixture(autouse=True)
    def _engine(self, stub_engine: StubEngine) -> None:
        """Use the stand-in."""

    @pytest.fixture
    def run(self) -> TrainingRun:
        run: TrainingRun = TrainingRunFactory.create(config=make_config(epochs=3))
        return run

    def test_a_run_that_goes_well(self, run: TrainingRun, artifacts_root: Path, rung: list[tuple[str, int]]) -> None:
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.reason, run.detail, run.attempts) == (JobStatus.SUCCEEDED, "", "", 0)
        assert (run.progress_done, run.progress_total, run.progress_percent) == (30, 30, 100)
        assert run.environment["device_name"] == "stub"
        assert (run.wall_seconds, run.metrics["accuracy"]) == (0.5, 1.0)
        assert run.lease_until is None
        assert run.finished_at is not None
        assert list(run.epochs.values_list("epoch", "step")) == [(1, 10), (2, 20), (3, 30)]
        assert run.version.state == ModelState.CANDIDATE
        assert run.version.path.is_dir()
        kept = artifacts_root / "runs" / str(run.pk) / "1" / "checkpoints" / "step-00000030"
        assert run.checkpoint == kept.relative_to(artifacts_root).as_posix()
        left = {path for path in (artifacts_root / "runs").rglob("*") if path.is_file()}
        assert left == {kept / "state.json", kept / "tensors.safetensors"}
        assert rung == []

    def test_duplicate_deliveries_do_the_work_once(self, run: TrainingRun) -> None:
        events: list[str] = []
        for _delivery in range(8):
            execute_run(run.pk, timings=QUICK, listener=lambda event: events.append(event["event"]))
        run.refresh_from_db()
        assert (run.fence, events.count("started")) == (1, 1)
        assert ModelVersion.objects.count() == 1

    @pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED])
    def test_a_run_that_is_not_queued_is_left_alone(self, status: JobStatus) -> None:
        run = TrainingRunFactory.create(status=status)
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.fence) == (status, 0)

    def test_a_run_that_is_gone_is_nothing(self) -> None:
        execute_run(404, timings=QUICK)

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [
            ("diverge", Reason.DIVERGED),
            ("crash", Reason.ERROR),
            ("usage", Reason.BAD_CONFIG),
            ("nonsense", Reason.ERROR),
            ("no-package", Reason.BAD_PACKAGE),
            ("damaged-package", Reason.BAD_PACKAGE),
        ],
    )
    def test_a_run_that_fails(
        self, run: TrainingRun, stub_engine: StubEngine, mode: str, reason: Reason, rung: list[tuple[str, int]]
    ) -> None:
        stub_engine.behave(mode)
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.reason) == (JobStatus.FAILED, reason)
        assert run.detail.endswith(".")
        assert "/" not in run.detail
        assert not ModelVersion.objects.exists()
        assert rung == []

    def test_the_log_is_kept(self, run: TrainingRun, stub_engine: StubEngine) -> None:
        stub_engine.behave("crash")
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert run.log_tail == "RuntimeError: a bug"

    def test_a_killed_engine_costs_an_attempt_and_is_tried_again(
        self, run: TrainingRun, stub_engine: StubEngine
    ) -> None:
        stub_engine.behave("killed-early")
        for attempt in range(1, MAX_ATTEMPTS + 1):
            execute_run(run.pk, timings=QUICK)
            run.refresh_from_db()
            assert run.attempts == attempt
        assert (run.status, run.reason) == (JobStatus.FAILED, Reason.KILLED)

    def test_a_killed_engine_resumes_from_its_checkpoint(self, run: TrainingRun, stub_engine: StubEngine) -> None:
        stub_engine.behave("killed")  # after the first checkpoint
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.attempts, run.checkpoint_step) == (JobStatus.QUEUED, 0, 10)
        assert run.checkpoint == f"runs/{run.pk}/1/checkpoints/step-00000010"
        stub_engine.behave("ok")
        starts: list[int] = []
        execute_run(
            run.pk,
            timings=QUICK,
            listener=lambda event: starts.append(event["resumed_from_step"]) if event["event"] == "started" else None,
        )
        run.refresh_from_db()
        assert (run.status, run.fence, starts) == (JobStatus.SUCCEEDED, 2, [10])
        assert list(run.epochs.values_list("epoch", flat=True)) == [1, 2, 3]

    def test_epochs_beyond_the_resume_point_are_forgotten(self, run: TrainingRun, stub_engine: StubEngine) -> None:
        stub_engine.behave("killed")
        execute_run(run.pk, timings=QUICK)
        figures = {"train_loss": 9.0, "train_accuracy": 0.0, "learning_rate": 0.1, "seconds": 1.0}
        for epoch in (2, 3, 4):
            EpochMetric.objects.create(run=run, epoch=epoch, step=epoch * 10, **figures)
        stub_engine.behave("ok")
        execute_run(run.pk, timings=QUICK)
        assert list(run.epochs.values_list("epoch", "train_loss")) == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]

    def test_a_damaged_checkpoint_falls_back_to_the_one_before(
        self, run: TrainingRun, stub_engine: StubEngine, artifacts_root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        stub_engine.behave("killed")
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        newest = artifacts_root / run.checkpoint
        older = newest.with_name("step-00000005")
        shutil.copytree(newest, older)
        (newest / "tensors.safetensors").write_bytes(b"torn")
        assert find_checkpoint(run) == older
        assert "damaged" in caplog.text
        (older / "state.json").unlink()
        assert find_checkpoint(run) is None

    def test_the_checkpoint_to_resume_from_outlives_claims_that_made_none(
        self, run: TrainingRun, stub_engine: StubEngine, artifacts_root: Path
    ) -> None:
        stub_engine.behave("killed")
        execute_run(run.pk, timings=QUICK)
        stub_engine.behave("killed-early")
        for _claim in range(2, MAX_ATTEMPTS + 1):
            execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.fence) == (JobStatus.QUEUED, MAX_ATTEMPTS)
        stub_engine.behave("ok")
        starts: list[int] = []
        execute_run(
            run.pk,
            timings=QUICK,
            listener=lambda event: starts.append(event["resumed_from_step"]) if event["event"] == "started" else None,
        )
        run.refresh_from_db()
        assert (run.status, starts) == (JobStatus.SUCCEEDED, [10])

    def test_folders_of_claims_long_past_are_removed(
        self, run: TrainingRun, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_work, "engine_command", lambda *_arguments: ["/nowhere/python"])
        folder = artifacts_root / "runs" / str(run.pk)
        for fence in range(1, 5):
            (folder / str(fence)).mkdir(parents=True)
        TrainingRun.objects.filter(pk=run.pk).update(fence=4)
        execute_run(run.pk, timings=QUICK)
        assert sorted(path.name for path in folder.iterdir()) == ["3", "4", "5"]

    def test_a_worker_that_shuts_down_gives_the_run_back(
        self, run: TrainingRun, stub_engine: StubEngine, rung: list[tuple[str, int]]
    ) -> None:
        stub_engine.behave("ok", seconds=0.2)
        execute_run(run.pk, timings=QUICK, listener=at("started", worker_stopping.set))
        run.refresh_from_db()
        assert (run.status, run.attempts, run.checkpoint_step, run.worker) == (JobStatus.QUEUED, 0, 10, "")
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.fence) == (JobStatus.QUEUED, 1)  # a worker that stops claims nothing more

    def test_cancel_while_running(
        self, run: TrainingRun, stub_engine: StubEngine, artifacts_root: Path, rung: list[tuple[str, int]]
    ) -> None:
        stub_engine.behave("ok", seconds=0.2)
        execute_run(run.pk, timings=QUICK, listener=at("started", lambda: TrainingRun.request_cancel(run.pk)))
        run.refresh_from_db()
        assert (run.status, run.checkpoint_step) == (JobStatus.CANCELLED, 10)
        assert (artifacts_root / run.checkpoint / "state.json").exists()
        assert rung == []

    def test_a_cancel_that_meets_a_lost_engine_counts(self, run: TrainingRun, stub_engine: StubEngine) -> None:
        stub_engine.behave("killed")
        slow = Timings(poll=60, heartbeat=60)
        execute_run(run.pk, timings=slow, listener=at("checkpoint", lambda: TrainingRun.request_cancel(run.pk)))
        run.refresh_from_db()
        assert run.status == JobStatus.CANCELLED

    def test_a_run_that_was_taken_away_gets_nothing_more(
        self, run: TrainingRun, stub_engine: StubEngine, rung: list[tuple[str, int]]
    ) -> None:
        stub_engine.behave("ok", seconds=0.1)
        take = lambda: TrainingRun.objects.filter(pk=run.pk).update(fence=7, worker="other")  # noqa: E731
        execute_run(run.pk, timings=QUICK, listener=at("started", take))
        run.refresh_from_db()
        assert (run.status, run.worker, run.fence) == (JobStatus.RUNNING, "other", 7)
        assert not run.epochs.exists()
        assert not ModelVersion.objects.exists()
        assert rung == []

    def test_version_and_success_are_written_together(self, run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_args: object, **_options: object) -> None:
            raise OperationalError

        monkeypatch.setattr(run_work, "record_version", fail)
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert run.status == JobStatus.RUNNING  # the lease will expire, and the run is taken back
        assert not ModelVersion.objects.exists()

    def test_a_full_disk_is_named(self, run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(run_work, "store_package", fail)
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.reason, run.detail) == (JobStatus.FAILED, Reason.DISK_FULL, "The disk is full.")

    def test_an_engine_that_cannot_be_started_fails_the_run(
        self, run: TrainingRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_work, "engine_command", lambda *_arguments: ["/nowhere/python"])
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.reason) == (JobStatus.FAILED, Reason.ERROR)
        assert run.detail == "The worker could not do its part: No such file or directory."

    def test_the_engine_gets_the_configuration_with_the_datasets_path(
        self, run: TrainingRun, settings: Settings, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.TRAINING_THREADS = 3
        monkeypatch.setattr(run_work, "engine_command", lambda *arguments: list(arguments))
        claimed = TrainingRun.claim(run.pk, worker="here")
        assert claimed is not None
        command = run_work.RunWork(claimed, listener=lambda _event: None).prepare()
        folder = artifacts_root / "runs" / str(run.pk) / "1"
        assert command == [
            "fit", "--config", str(folder / "config.json"), "--workdir", str(folder), "--keep-all-checkpoints",
            "--threads", "3",
        ]  # fmt: skip
        written = json.loads((folder / "config.json").read_text())
        assert written == {**run.config, "dataset": str(artifacts_root / run.dataset.location)}


@pytest.mark.django_db(transaction=True)
class TestMirror:
    """What MLflow is told by the worker that has the run, from a thread of its own."""

    @pytest.fixture(autouse=True)
    def _engine(self, stub_engine: StubEngine, mlflow_store: str, settings: Settings, artifacts_root: Path) -> None:
        """Use the stand-in, and track in a real store."""
        settings.MLFLOW_TRACKING_URI = mlflow_store

    @pytest.mark.parametrize(
        ("mode", "status", "state"),
        [
            ("ok", JobStatus.SUCCEEDED, "FINISHED"),
            ("diverge", JobStatus.FAILED, "FAILED"),
            ("crash", JobStatus.FAILED, "FAILED"),
            ("damaged-package", JobStatus.FAILED, "FAILED"),
            ("killed", JobStatus.QUEUED, "SCHEDULED"),
        ],
    )
    def test_it_ends_as_the_row_does(
        self, stub_engine: StubEngine, mlflow_store: str, mode: str, status: JobStatus, state: str
    ) -> None:
        stub_engine.behave(mode)
        run = TrainingRunFactory.create()
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.status, run.mlflow_state) == (status, state)
        tracked = connect(mlflow_store).get_run(run.mlflow_run_id)
        assert tracked.info.status == state
        assert tracked.data.params["dataset_sha256"] == run.dataset.sha256

    def test_a_success_has_its_package_there(self, mlflow_store: str) -> None:
        run = TrainingRunFactory.create()
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        client = connect(mlflow_store)
        assert find_version(client, run.version.package_sha256) is not None
        files = client.list_artifacts(run.mlflow_run_id, "model")
        assert [file.path for file in files] == ["model/manifest.json", "model/model.onnx", "model/weights.safetensors"]

    def test_a_cancelled_run_is_killed(self, stub_engine: StubEngine, mlflow_store: str) -> None:
        stub_engine.behave("ok", seconds=0.2)
        run = TrainingRunFactory.create()
        execute_run(run.pk, timings=QUICK, listener=at("started", lambda: TrainingRun.request_cancel(run.pk)))
        run.refresh_from_db()
        assert (run.status, run.mlflow_state) == (JobStatus.CANCELLED, "KILLED")
        assert connect(mlflow_store).get_run(run.mlflow_run_id).info.status == "KILLED"

    def test_it_goes_on_in_the_same_run(self, stub_engine: StubEngine, mlflow_store: str) -> None:
        stub_engine.behave("killed")
        run = TrainingRunFactory.create()
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        before = run.mlflow_run_id
        stub_engine.behave("ok")
        execute_run(run.pk, timings=QUICK)
        run.refresh_from_db()
        assert (run.mlflow_run_id, run.mlflow_state) == (before, "FINISHED")
        assert connect(mlflow_store).get_run(before).info.status == "FINISHED"

    def test_a_run_that_was_taken_away_publishes_nothing(self, stub_engine: StubEngine, mlflow_store: str) -> None:
        stub_engine.behave("ok", seconds=0.5)  # long enough for MLflow to be told of it
        run = TrainingRunFactory.create()
        take = lambda: TrainingRun.objects.filter(pk=run.pk).update(fence=7, worker="other")  # noqa: E731
        execute_run(run.pk, timings=QUICK, listener=at("finished", take))
        client = connect(mlflow_store)
        tracked = client.get_run(find_run(client, describe_run(run)))
        assert tracked.info.status == "RUNNING"  # as the other worker's
        assert "test_accuracy" not in tracked.data.metrics


class TestImport:
    @pytest.fixture(autouse=True)
    def _engine(self, stub_engine: StubEngine) -> None:
        """Use the stand-in."""

    @pytest.fixture
    def job(self) -> DatasetImport:
        job: DatasetImport = DatasetImportFactory.create(name="shapes", notes="--tricky")
        return job

    def leftovers(self, root: Path) -> list[str]:
        """Every file under the artifacts root, relative to it."""
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def test_an_import_that_goes_well(self, job: DatasetImport, artifacts_root: Path) -> None:
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert (job.status, job.progress_percent) == (JobStatus.SUCCEEDED, 100)
        dataset = job.dataset
        assert dataset is not None
        assert (dataset.name, dataset.location) == ("shapes", f"datasets/{job.pk}-1")
        assert (dataset.train_count, dataset.test_count, dataset.class_keys) == (8, 2, ["cat", "dog"])
        assert dataset.manifest["name"] == "shapes"
        assert dataset.synthetic is True
        assert self.leftovers(artifacts_root) == [
            f"datasets/{job.pk}-1/manifest.json", f"datasets/{job.pk}-1/train_images.npy"
        ]  # fmt: skip

    def test_duplicate_deliveries_do_the_work_once(self, job: DatasetImport) -> None:
        for _delivery in range(8):
            execute_import(job.pk, timings=QUICK)
        assert Dataset.objects.count() == 1

    def test_an_upload_is_imported_with_its_notes_and_removed(self, artifacts_root: Path) -> None:
        upload = SimpleUploadedFile("mine.zip", b"bytes")
        job = request_import(
            owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload, notes="--not an option",
            skip_unreadable=True,
        )  # fmt: skip
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert job.dataset is not None
        assert job.dataset.manifest["notes"] == "--not an option"
        assert job.source_path == ""
        assert list((artifacts_root / "uploads").iterdir()) == []

    def test_somebody_elses_archive_stays(self, tmp_path: Path) -> None:
        archive = tmp_path / "mine.zip"
        archive.write_bytes(b"bytes")
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, source_path=archive)
        execute_import(job.pk, timings=QUICK)
        assert archive.exists()

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [("diverge", Reason.BAD_DATASET), ("crash", Reason.ERROR), ("nonsense", Reason.ERROR)],
    )
    def test_a_failed_import_leaves_nothing(
        self, stub_engine: StubEngine, artifacts_root: Path, mode: str, reason: Reason
    ) -> None:
        upload = SimpleUploadedFile("mine.zip", b"bytes")
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload)
        stub_engine.behave(mode)
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert (job.status, job.reason) == (JobStatus.FAILED, reason)
        assert self.leftovers(artifacts_root) == []
        assert not Dataset.objects.exists()

    def test_a_cancelled_import_leaves_nothing(
        self, job: DatasetImport, stub_engine: StubEngine, artifacts_root: Path
    ) -> None:
        stub_engine.behave("ok", seconds=0.2)
        execute_import(job.pk, timings=QUICK, listener=at("progress", lambda: DatasetImport.request_cancel(job.pk)))
        job.refresh_from_db()
        assert job.status == JobStatus.CANCELLED
        assert self.leftovers(artifacts_root) == []

    def test_a_killed_import_starts_anew_without_leftovers(
        self, job: DatasetImport, stub_engine: StubEngine, artifacts_root: Path
    ) -> None:
        stub_engine.behave("killed")
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
        assert self.leftovers(artifacts_root) == []
        abandoned = artifacts_root / "datasets" / f"{job.pk}-1"
        abandoned.mkdir(parents=True)
        stub_engine.behave("ok")
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert (job.status, job.dataset and job.dataset.location) == (JobStatus.SUCCEEDED, f"datasets/{job.pk}-2")
        assert not abandoned.exists()

    def test_a_name_taken_meanwhile_fails_the_import(self, job: DatasetImport, artifacts_root: Path) -> None:
        execute_import(job.pk, timings=QUICK, listener=at("progress", lambda: DatasetFactory.create(name="shapes")))
        job.refresh_from_db()
        assert (job.status, job.detail) == (JobStatus.FAILED, "A dataset named shapes exists already.")
        assert self.leftovers(artifacts_root) == []

    def test_an_import_that_was_taken_away_leaves_nothing(
        self, job: DatasetImport, stub_engine: StubEngine, artifacts_root: Path
    ) -> None:
        take = lambda: DatasetImport.objects.filter(pk=job.pk).update(fence=7)  # noqa: E731
        execute_import(job.pk, timings=QUICK, listener=at("finished", take))
        job.refresh_from_db()
        assert (job.status, job.fence, job.dataset) == (JobStatus.RUNNING, 7, None)
        assert self.leftovers(artifacts_root) == []

    def test_a_success_whose_answer_was_lost_keeps_its_files(
        self, job: DatasetImport, monkeypatch: pytest.MonkeyPatch, artifacts_root: Path
    ) -> None:
        keep = import_work.ImportWork.keep

        def keep_and_lose_the_answer(
            self: import_work.ImportWork, finished: FinishedEvent, *, log_tail: str
        ) -> Callable[[], None]:
            write = keep(self, finished, log_tail=log_tail)

            def write_and_break() -> None:
                write()
                raise OperationalError

            return write_and_break

        monkeypatch.setattr(import_work.ImportWork, "keep", keep_and_lose_the_answer)
        execute_import(job.pk, timings=QUICK)
        job.refresh_from_db()
        assert job.status == JobStatus.SUCCEEDED
        assert (artifacts_root / "datasets" / f"{job.pk}-1" / "manifest.json").exists()

    @pytest.mark.parametrize(
        ("source", "command"),
        [
            (ImportSource.DEMO, ["demo", "--name=shapes"]),
            (ImportSource.CIFAR10, ["cifar10", "--name=shapes"]),
            (ImportSource.STL10, ["stl10", "--name=shapes"]),
            (ImportSource.ARCHIVE, ["import", "--name=shapes"]),
        ],
    )
    def test_the_engine_is_told_what_to_import(
        self, source: ImportSource, command: list[str], monkeypatch: pytest.MonkeyPatch, artifacts_root: Path
    ) -> None:
        monkeypatch.setattr(import_work, "engine_command", lambda *arguments: list(arguments))
        created = DatasetImportFactory.create(name="shapes", source=source, source_path="/data/a.zip", notes="-n")
        job = DatasetImport.claim(created.pk, worker="here")
        assert job is not None
        told = import_work.ImportWork(job, listener=lambda _event: None).prepare()
        folder = artifacts_root / "imports" / str(job.pk) / "1"
        rest = {
            ImportSource.DEMO: [],
            ImportSource.CIFAR10: [f"--download-root={folder / 'download'}"],
            ImportSource.STL10: [f"--download-root={folder / 'download'}"],
            ImportSource.ARCHIVE: ["--source=/data/a.zip", "--notes=-n"],
        }
        assert told == [*command, f"--output={folder / 'dataset'}", *rest[source]]

"""A disk or a store that fills up, and checkpoints that were damaged: nothing half-written is used or left."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import DatasetFactory
from tests.fixtures import ROOT, RemoteArtifacts, StubEngine
from training import run_work
from training.checkpoints import find_checkpoint
from training.choices import ImportSource, JobStatus, Reason
from training.engine.events import Event
from training.exceptions import ServiceError
from training.models import DatasetImport, ModelVersion, TrainingRun
from training.runner import execute_run
from training.services import request_import, request_run, resume_run, uploads
from training.storage import artifacts
from training.store import publish
from training.supervisor import Timings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root", "stub_engine")]

QUICK = Timings(poll=0.05, heartbeat=0.2, lease=5.0, grace=1.0, progress=600.0)


@pytest.fixture
def run(artifacts_root: Path) -> TrainingRun:
    """A queued run of three epochs."""
    dataset = DatasetFactory.create()
    artifacts(dataset.location).mkdir(parents=True)
    (artifacts(dataset.location) / "manifest.json").write_text("{}")
    return request_run(owner=None, dataset=dataset, recipe="fast", overrides={"epochs": 3, "seed": 0}, announce=False)


def fill_store(monkeypatch: pytest.MonkeyPatch, *, at: str) -> Callable[[], None]:
    """Let the store take no more from the first name on in which `at` is found; returns what makes room again."""
    storage = storages["default"]
    save, is_full = storage.save, [False]

    def save_or_refuse(name: str, content: Any) -> str:
        is_full[0] = is_full[0] or re.search(at, name) is not None
        if is_full[0]:
            raise ClientError({"Error": {"Code": "XMinioStorageFull"}}, "PutObject")
        return str(save(name, content))

    monkeypatch.setattr(storage, "save", save_or_refuse)
    return lambda: monkeypatch.setattr(storage, "save", save)


def execute(run: TrainingRun) -> list[int]:
    """Train; returns the steps from which it started."""
    starts: list[int] = []

    def listen(event: Event) -> None:
        if event["event"] == "started":
            starts.append(event["resumed_from_step"])

    execute_run(run.pk, timings=QUICK, listener=listen)
    run.refresh_from_db()
    return starts


def test_disk_full_while_checkpointing(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ROOT / "tests" / "faults" / "full_disk_engine.py"
    monkeypatch.setattr(run_work, "engine_command", lambda *arguments: [sys.executable, str(engine), *arguments])
    execute(run)
    assert (run.status, run.reason, run.checkpoint_step) == (JobStatus.FAILED, Reason.DISK_FULL, 10)
    assert find_checkpoint(run) == artifacts(run.checkpoint)
    assert [path.name for path in artifacts(run.checkpoint).parent.iterdir()] == ["step-00000010"]


def test_store_full_while_a_checkpoint_is_uploaded(
    run: TrainingRun, remote_artifacts: RemoteArtifacts, stub_engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(run.dataset.location)
    make_room = fill_store(monkeypatch, at="step-000000[23]0/tensors")
    stub_engine.behave("ok", seconds=1.0)
    execute(run)
    assert (run.status, run.reason, run.detail) == (JobStatus.FAILED, Reason.DISK_FULL, "The disk is full.")
    assert (run.checkpoint, run.checkpoint_step) == (f"runs/{run.pk}/1/checkpoints/step-00000010", 10)
    assert remote_artifacts.keys("index/runs") == [f"index/{run.checkpoint}.json"]

    make_room()
    remote_artifacts.move_to("second")
    stub_engine.behave("ok")
    resume_run(run=run, by=None, announce=False)
    assert execute(run) == [10]
    assert run.status == JobStatus.SUCCEEDED
    assert list(run.epochs.values_list("epoch", flat=True)) == [1, 2, 3]


def test_store_full_while_the_package_is_uploaded(
    run: TrainingRun, remote_artifacts: RemoteArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(run.dataset.location)
    make_room = fill_store(monkeypatch, at="model.onnx")
    execute(run)
    assert (run.status, run.reason, run.checkpoint_step) == (JobStatus.FAILED, Reason.DISK_FULL, 30)
    assert not ModelVersion.objects.exists()
    assert remote_artifacts.keys("index/models") == []

    make_room()
    remote_artifacts.move_to("second")
    resume_run(run=run, by=None, announce=False)
    assert execute(run) == [30]
    assert run.status == JobStatus.SUCCEEDED
    assert remote_artifacts.keys("index/models") == [f"index/{run.version.location}.json"]


def test_disk_full_while_a_package_is_copied(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.registry.sync", fill_disk)
    execute(run)
    assert (run.status, run.reason, run.checkpoint_step) == (JobStatus.FAILED, Reason.DISK_FULL, 30)
    assert not ModelVersion.objects.exists()
    assert list(artifacts("models").iterdir()) == []
    assert find_checkpoint(run) == artifacts(run.checkpoint)


@pytest.mark.parametrize("is_remote", [False, True])
def test_disk_full_while_an_archive_is_uploaded(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, is_remote: bool
) -> None:
    if is_remote:
        request.getfixturevalue("remote_artifacts")
        fill_store(monkeypatch, at="uploads/")
    else:

        def fill_disk(_path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(uploads, "sync", fill_disk)
    upload = SimpleUploadedFile("photos.zip", b"archive")
    with pytest.raises(ServiceError, match="The archive could not be stored"):
        request_import(owner=None, name="photos", source=ImportSource.ARCHIVE, upload=upload, announce=False)
    assert not DatasetImport.objects.exists()
    assert list(artifacts("uploads").iterdir()) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
def test_newest_checkpoint_damaged(
    run: TrainingRun,
    stub_engine: StubEngine,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    stub_engine.behave("killed")  # after the next checkpoint
    assert [execute(run), execute(run)] == [[0], [10]]
    assert (run.status, run.checkpoint_step) == (JobStatus.QUEUED, 20)
    damage(artifacts(run.checkpoint) / name)
    stub_engine.behave("ok")
    assert execute(run) == [10]
    assert f"{run}: checkpoint step 20 is damaged or gone, the one before is tried" in caplog.text
    assert run.status == JobStatus.SUCCEEDED
    assert list(run.epochs.values_list("epoch", flat=True)) == [1, 2, 3]

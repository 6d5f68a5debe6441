"""The whole journey on machines that share a database and an S3 store, and no folder."""

from __future__ import annotations

import http.client
import json
import socket
import time
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from cifarsite.accounts.models import ApiToken, User
from cifarsite.web import granian_command
from tests.fixtures import RemoteArtifacts, StubEngine, shared_environment
from tests.tiny_model import picture
from training.choices import ImportSource, JobStatus
from training.engine.events import Event
from training.models import Dataset, ModelVersion, TrainingRun
from training.processes import kill_group, spawn
from training.runner import execute_import, execute_run
from training.services import promote_version, request_import, request_run
from training.supervisor import Timings

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

QUICK = Timings(poll=0.05, heartbeat=0.2, lease=5.0, grace=1.0, progress=600.0)
PATIENCE_SECONDS = 120.0


def import_archive(machines: RemoteArtifacts) -> Dataset:
    """Upload on the web's machine, import on a worker's."""
    web = machines.move_to("web")
    upload = SimpleUploadedFile("photos.zip", b"archive")
    job = request_import(owner=None, name="photos", source=ImportSource.ARCHIVE, upload=upload, announce=False)
    assert list((web / "uploads").iterdir()) == []
    assert machines.keys("uploads/") == [job.source_path]
    worker = machines.move_to("first")
    execute_import(job.pk, timings=QUICK)
    job.refresh_from_db()
    assert (job.status, job.source_path) == (JobStatus.SUCCEEDED, "")
    assert machines.keys("uploads/") == machines.keys("index/uploads/") == []
    assert list((worker / "uploads").iterdir()) == []
    assert job.dataset is not None
    return job.dataset


def train_on_two_machines(machines: RemoteArtifacts, engine: StubEngine, dataset: Dataset) -> ModelVersion:
    """Lose the engine after its first checkpoint; another machine goes on from there."""
    overrides = {"epochs": 3, "seed": 0}
    run = request_run(owner=None, dataset=dataset, recipe="fast", overrides=overrides, announce=False)
    engine.behave("killed")
    execute_run(run.pk, timings=QUICK)
    run.refresh_from_db()
    assert (run.status, run.checkpoint) == (JobStatus.QUEUED, f"runs/{run.pk}/1/checkpoints/step-00000010")

    second = machines.move_to("second")
    engine.behave("ok", seconds=0.3)
    starts: list[int] = []

    def listen(event: Event) -> None:
        if event["event"] == "started":
            starts.append(event["resumed_from_step"])

    execute_run(run.pk, timings=QUICK, listener=listen)
    run.refresh_from_db()
    assert (run.status, starts) == (JobStatus.SUCCEEDED, [10])
    assert list(run.epochs.values_list("epoch", flat=True)) == [1, 2, 3]
    assert machines.keys("index/runs/") == [f"index/{run.checkpoint}.json"]
    assert run.checkpoint == f"runs/{run.pk}/2/checkpoints/step-00000030"
    assert not (second / "runs" / str(run.pk)).exists()
    assert (second / dataset.location / "manifest.json").exists()
    return run.version


def predict(root: Path, machines: RemoteArtifacts, *, log: Path) -> dict[str, object]:
    """Start a web server with an empty folder and ask it about a picture."""
    _row, token = ApiToken.objects.create(user=User.objects.create(username="ada"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **shared_environment(),
        **machines.environment,
        "ARTIFACTS_ROOT": str(root),
        "CIFARSITE_HTTPS": "false",
        "ALLOWED_HOSTS": "127.0.0.1",
    }
    body = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture(0) + b"\r\n--X--\r\n"
    )
    headers = {"Authorization": f"Token {token}", "Content-Type": "multipart/form-data; boundary=X"}
    with log.open("w") as stream:
        process = spawn(granian_command("127.0.0.1", port), env=environment, stdout=stream, stderr=stream)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/api/v1/predict", body, headers)
                response = connection.getresponse()
            except OSError:
                time.sleep(0.1)  # not up yet
                continue
            answer: dict[str, object] = json.loads(response.read())
            assert response.status == 200, (answer, log.read_text())
            return answer
    finally:
        kill_group(process)


def test_from_an_upload_to_an_answer(
    remote_artifacts: RemoteArtifacts, stub_engine: StubEngine, tmp_path: Path
) -> None:
    dataset = import_archive(remote_artifacts)
    version = train_on_two_machines(remote_artifacts, stub_engine, dataset)
    office = remote_artifacts.move_to("office")
    promote_version(version=version, by=None)
    assert {path.name for path in (office / version.location).iterdir()} >= {"manifest.json", "model.onnx"}
    web = tmp_path / "fresh" / "artifacts"
    answer = predict(web, remote_artifacts, log=tmp_path / "web.log")
    assert (answer["model_version"], answer["class_name"]) == (str(version), "airplane")
    assert (web / version.location / "model.onnx").exists()
    assert TrainingRun.objects.get().version == version

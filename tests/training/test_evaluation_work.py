"""Evaluations from claim to end: what is in the row and on the disk, with the real engine and with worse ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.factories import DatasetFactory, EvaluationFactory
from training import evaluation_work, runner
from training.audit.evaluations import check_evaluations
from training.choices import JobStatus, Reason
from training.devices import INFERENCE_PLACE, hold_place
from training.engine.constants import ANSWERS_NAME, BANK_NAME, MAP_NAME
from training.engine.events import Event
from training.models import Dataset, Evaluation, ModelVersion
from training.processes import engine_command
from training.registry import register_package
from training.retention import find_orphans
from training.runner import execute_evaluation, execute_next_evaluation
from training.sights import find_answered, find_evaluation, read_bank, read_map
from training.stopping import worker_stopping
from training.storage import DRAFTS, EVALUATIONS, artifacts
from training.supervisor import Timings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifacts_root")]

QUICK = Timings(poll=0.02, heartbeat=0.1, lease=5.0, grace=0.5, progress=60.0)


@pytest.fixture(autouse=True)
def _lower_the_flag() -> Iterator[None]:
    yield
    worker_stopping.clear()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    bells: list[tuple[str, int]] = []
    monkeypatch.setattr(runner, "ring", lambda task, pk: bells.append((task, pk)))
    return bells


@pytest.fixture
def version(artifacts_root: Path, tiny_package: Path) -> ModelVersion:
    return register_package(tiny_package)


@pytest.fixture
def dataset(tiny_dataset: Path) -> Dataset:
    manifest = json.loads((tiny_dataset / "manifest.json").read_text())
    dataset: Dataset = DatasetFactory.create(
        name="tiny", location=str(tiny_dataset), manifest=manifest, sha256=manifest["sha256"]
    )
    return dataset


@pytest.fixture
def job(version: ModelVersion, dataset: Dataset) -> Evaluation:
    job: Evaluation = EvaluationFactory.create(version=version, dataset=dataset)
    return job


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, tiny_package: Path, tiny_dataset: Path) -> Path:
    """What the engine wrote and said, once: it takes seconds."""
    folder = tmp_path_factory.mktemp("measured")
    command = engine_command("evaluate", f"--package={tiny_package}", f"--dataset={tiny_dataset}")
    said = subprocess.run([*command, f"--output={folder / 'files'}"], capture_output=True, check=True).stdout
    (folder / "said").write_bytes(said)
    return folder


@pytest.fixture
def quick_engine(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that says and writes at once what the real one did."""
    program = (
        "import pathlib, shutil, sys; measured, output = map(pathlib.Path, sys.argv[1:]);"
        "shutil.copytree(measured / 'files', output); print((measured / 'said').read_text())"
    )

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", program, str(measured), arguments[arguments.index("--output") + 1]]

    monkeypatch.setattr(evaluation_work, "engine_command", command)


def left() -> list[str]:
    """Everything that evaluations have on the disk."""
    folders = (artifacts(EVALUATIONS), artifacts(DRAFTS))
    return sorted(path.relative_to(artifacts()).as_posix() for folder in folders for path in folder.glob("*"))


def say(*events: Event, exit_code: int = 0) -> list[str]:
    """Return the command line of an engine that says these things and ends."""
    lines = "".join(json.dumps(event) + "\n" for event in events)
    return [sys.executable, "-c", f"import sys; sys.stdout.write({lines!r}); sys.exit({exit_code})"]


def test_what_was_measured_is_in_the_row_and_the_files(job: Evaluation) -> None:
    execute_evaluation(job.pk, timings=QUICK)
    job.refresh_from_db()
    assert (job.status, job.detail, job.progress_percent) == (JobStatus.SUCCEEDED, "", 100)
    assert job.report["metrics"]["confusion_matrix"] == job.version.manifest["metrics"]["confusion_matrix"]
    assert job.accuracy == job.version.test_accuracy
    assert left() == [f"evaluations/{job.pk}-1"]
    assert sorted(path.name for path in job.path.iterdir()) == sorted([ANSWERS_NAME, BANK_NAME, MAP_NAME])
    assert find_evaluation(job.version) == job
    counted = [
        [find_answered(job, label=label, answer=answer, count=0).total for answer in range(10)] for label in range(10)
    ]
    assert counted == job.report["metrics"]["confusion_matrix"]
    found = read_map(job)
    assert (found.points.shape, found.labels.tolist()) == (
        (40, 2),
        np.load(job.dataset.path / "test_labels.npy").tolist(),
    )
    assert len(read_bank(job).indices) == 200
    assert list(check_evaluations()) == []


@pytest.mark.usefixtures("quick_engine")
def test_what_another_database_left_in_its_place_is_in_nobodys_way(job: Evaluation) -> None:
    for folder in (artifacts(EVALUATIONS, f"{job.pk}-1"), artifacts(DRAFTS, f"evaluation-{job.pk}-1")):
        folder.mkdir(parents=True)
        (folder / "old.npy").touch()
    execute_evaluation(job.pk, timings=QUICK)
    job.refresh_from_db()
    assert (job.status, left()) == (JobStatus.SUCCEEDED, [f"evaluations/{job.pk}-1"])
    assert not (job.path / "old.npy").exists()


@pytest.mark.usefixtures("quick_engine")
def test_the_newest_of_a_pair_has_the_files(job: Evaluation) -> None:
    execute_evaluation(job.pk, timings=QUICK)
    newer = EvaluationFactory.create(version=job.version, dataset=job.dataset)
    execute_evaluation(newer.pk, timings=QUICK)
    assert list(Evaluation.objects.with_files()) == [newer]
    job.refresh_from_db()
    assert (job.location, job.accuracy) == ("", job.version.test_accuracy)
    assert [orphan.location for orphan in find_orphans(older_than_seconds=0)] == [f"evaluations/{job.pk}-1"]


def test_a_cancelled_one_leaves_nothing(job: Evaluation) -> None:
    def cancel(event: Event) -> None:
        Evaluation.request_cancel(job.pk)

    execute_evaluation(job.pk, timings=QUICK, listener=cancel)
    job.refresh_from_db()
    assert (job.status, job.report, job.location) == (JobStatus.CANCELLED, {}, "")
    assert left() == []


def test_a_worker_that_shuts_down_gives_it_back(job: Evaluation) -> None:
    execute_evaluation(job.pk, timings=QUICK, listener=lambda _event: worker_stopping.set())
    job.refresh_from_db()
    assert (job.status, job.attempts, left()) == (JobStatus.QUEUED, 0, [])


def test_one_that_was_taken_meanwhile_writes_nothing(job: Evaluation) -> None:
    def take(_event: Event) -> None:
        Evaluation.objects.filter(pk=job.pk).update(fence=7)

    execute_evaluation(job.pk, timings=QUICK, listener=take)
    job.refresh_from_db()
    assert (job.status, job.report, left()) == (JobStatus.RUNNING, {}, [])


@pytest.mark.parametrize(
    ("command", "reason", "detail"),
    [
        (
            say({"event": "failed", "reason": "bad_dataset", "detail": "It is damaged."}, exit_code=1),
            Reason.BAD_DATASET,
            "It is damaged.",
        ),
        (
            say(
                {
                    "event": "finished",
                    "report": {"package_sha256": "other", "dataset": {"sha256": "other"}, "files": {}},
                }
            ),
            Reason.BAD_PACKAGE,
            "The model package or the dataset is not the one that its row names.",
        ),
    ],
)
def test_what_cannot_be_used_is_told(
    job: Evaluation, command: list[str], reason: Reason, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_work, "engine_command", lambda *_arguments: command)
    execute_evaluation(job.pk, timings=QUICK)
    job.refresh_from_db()
    assert (job.status, job.reason, job.detail) == (JobStatus.FAILED, reason, detail)
    assert left() == []


@pytest.mark.usefixtures("quick_engine")
def test_one_at_a_time_on_a_machine(job: Evaluation, rung: list[tuple[str, int]]) -> None:
    with hold_place(INFERENCE_PLACE) as is_free:
        assert is_free
        execute_next_evaluation(timings=QUICK)
    job.refresh_from_db()
    assert (job.status, rung) == (JobStatus.QUEUED, [])
    follower = EvaluationFactory.create()
    execute_next_evaluation(timings=QUICK)
    job.refresh_from_db()
    assert (job.status, rung) == (JobStatus.SUCCEEDED, [("training.execute_evaluation", follower.pk)])


@pytest.mark.usefixtures("quick_engine")
def test_an_audit_finds_damage_and_forgets_the_files(job: Evaluation) -> None:
    execute_evaluation(job.pk, timings=QUICK)
    job.refresh_from_db()
    (job.path / ANSWERS_NAME).write_bytes(b"altered")
    [finding] = check_evaluations()
    assert (finding.kind, finding.subject) == ("damaged_evaluation", str(job))
    assert finding.repair is not None
    finding.repair()
    job.refresh_from_db()
    assert (job.location, list(check_evaluations())) == ("", [])
    assert job.accuracy == job.version.test_accuracy

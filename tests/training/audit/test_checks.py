"""What the audit finds in rows, files, histories and leases, and what its repairs do."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    EpochMetricFactory,
    ModelVersionFactory,
    TrainingRunFactory,
    dataset_manifest,
)
from tests.fixtures import RemoteArtifacts
from tests.training.test_checkpoints import make_run, save
from training.audit import CHECKS, Check, Finding, look
from training.audit.datasets import check_datasets
from training.audit.files import check_orphans
from training.audit.jobs import check_histories, check_leases
from training.audit.runs import check_checkpoints, check_epochs, check_successes
from training.audit.versions import check_champion, check_packages
from training.choices import JobStatus, ModelState
from training.engine.dataset_draft import hash_manifest
from training.models import Dataset, ModelVersion, TrainingRun
from training.retention import DAY_SECONDS
from training.services import promote_version
from training.storage import artifacts
from training.store import forget_copy, publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def kinds(check: Check) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in check()]


def only(check: Check) -> Finding:
    [finding] = check()
    return finding


def repair(check: Check) -> str:
    finding = only(check)
    assert finding.repair is not None
    return finding.repair()


def test_an_empty_site_is_clean() -> None:
    assert list(look(CHECKS)) == []


def test_a_check_that_cannot_be_made_is_a_finding(remote_artifacts: RemoteArtifacts) -> None:
    remote_artifacts.bucket.delete()
    [finding] = look([check_orphans])
    assert (finding.kind, finding.subject) == ("unchecked", "check_orphans")
    assert finding.sentence == "This could not be checked: The bucket that ARTIFACTS_URL names does not exist."


class TestJobs:
    def test_a_lease_that_ended_is_found_and_the_job_taken_back(self) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        assert kinds(check_leases) == []
        TrainingRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert kinds(check_leases) == [("expired_lease", str(run))]
        assert repair(check_leases) == "It was taken back from its worker."
        run.refresh_from_db()
        assert run.status == JobStatus.QUEUED

    def test_a_history_that_jobs_wrote_themselves_is_right(self) -> None:
        job = DatasetImportFactory.build()
        job.submit()
        claimed = type(job).claim(job.pk, worker="here")
        assert claimed is not None
        claimed.succeed()
        assert kinds(check_histories) == []

    def test_a_state_that_somebody_changed_by_hand_is_found(self) -> None:
        job = DatasetImportFactory.build()
        job.submit()
        type(job).objects.update(status=JobStatus.FAILED, finished_at=timezone.now())
        finding = only(check_histories)
        assert (finding.kind, finding.subject) == ("wrong_history", f"datasetimport {job.pk}")
        assert finding.sentence == "Its state is failed, and the last one noted is queued."
        assert finding.repair is None

    def test_a_job_without_any_history_is_found_where_histories_are_kept(self) -> None:
        before = DatasetImportFactory.create()
        assert kinds(check_histories) == []
        DatasetImportFactory.build().submit()
        after = DatasetImportFactory.create()
        assert before.pk < after.pk
        assert kinds(check_histories) == [("wrong_history", f"datasetimport {after.pk}")]


class TestRuns:
    def test_a_success_has_a_version(self) -> None:
        with_version, without = TrainingRunFactory.create_batch(2, status=JobStatus.SUCCEEDED)
        ModelVersionFactory.create(run=with_version)
        assert kinds(check_successes) == [("success_without_version", str(without))]

    def test_epochs_have_no_gap(self) -> None:
        run, other = TrainingRunFactory.create_batch(2)
        for epoch in (1, 2):
            EpochMetricFactory.create(run=run, epoch=epoch)
        for phase, epoch in ((1, 1), (2, 1), (2, 3)):
            EpochMetricFactory.create(run=other, phase=phase, epoch=epoch)
        assert kinds(check_epochs) == [("epochs_with_gaps", str(other))]
        assert only(check_epochs).sentence == "Of its 3 epochs, 2 are there."

    def test_a_sound_checkpoint_is_no_finding(self) -> None:
        make_run(step=20)
        assert kinds(check_checkpoints) == []

    def test_a_missing_one_is_forgotten(self) -> None:
        run = make_run(step=20, status=JobStatus.FAILED)
        shutil.rmtree(artifacts(run.checkpoint))
        assert only(check_checkpoints).sentence == "Its checkpoint of step 20 is damaged or gone."
        assert repair(check_checkpoints) == "It names no checkpoint any more, and would start afresh."
        run.refresh_from_db()
        assert (run.checkpoint, run.checkpoint_step) == ("", 0)
        assert kinds(check_checkpoints) == []

    def test_the_one_before_takes_the_place_of_a_damaged_one(self) -> None:
        run = make_run(step=20, status=JobStatus.QUEUED)
        earlier, sha256 = save(step=10, run=run.pk)
        with (artifacts(run.checkpoint) / "tensors.safetensors").open("ab") as file:
            file.write(b"!")
        assert repair(check_checkpoints) == "It names the checkpoint of step 10 again."
        run.refresh_from_db()
        assert (run.checkpoint, run.checkpoint_sha256, run.checkpoint_step) == (earlier, sha256, 10)
        assert kinds(check_checkpoints) == []

    def test_a_run_that_went_on_meanwhile_is_left_alone(self) -> None:
        run = make_run(step=20, status=JobStatus.QUEUED)
        shutil.rmtree(artifacts(run.checkpoint))
        finding = only(check_checkpoints)
        TrainingRun.objects.update(checkpoint="runs/1/2/checkpoints/step-00000030")
        assert finding.repair is not None
        finding.repair()
        run.refresh_from_db()
        assert run.checkpoint == "runs/1/2/checkpoints/step-00000030"

    def test_the_stores_is_looked_at_not_this_machines_copy(self, remote_artifacts: RemoteArtifacts) -> None:
        run = make_run(step=20)
        publish(run.checkpoint)
        assert kinds(check_checkpoints) == []
        remote_artifacts.bucket.Object(f"site/{run.checkpoint}/state.json").put(Body=b"torn")
        assert kinds(check_checkpoints) == [("damaged_checkpoint", str(run))]


class TestVersions:
    def test_packages_are_whole(self) -> None:
        versions = ModelVersionFactory.create_batch(3)
        ModelVersionFactory.create(state=ModelState.CHAMPION)
        (versions[0].path / "model.onnx").write_bytes(b"torn")
        shutil.rmtree(versions[1].path)
        assert kinds(check_packages) == [
            ("damaged_package", str(versions[0])),
            ("damaged_package", str(versions[1])),
        ]

    def test_the_champions_matters_most(self) -> None:
        champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
        (champion.path / "model.onnx").write_bytes(b"torn")
        finding = only(check_packages)
        assert finding.kind == "damaged_champion"
        assert finding.sentence == "The champion: Its package is incomplete or was altered."

    def test_a_folder_with_another_package_is_found(self) -> None:
        first, second = ModelVersionFactory.create_batch(2)
        ModelVersion.objects.filter(pk=first.pk).update(location=second.location)
        assert only(check_packages).sentence == "Its folder holds another package."

    def test_one_in_the_store_is_looked_at(self, remote_artifacts: RemoteArtifacts) -> None:
        version = ModelVersionFactory.create()
        forget_copy(version.location)
        assert kinds(check_packages) == []
        remote_artifacts.bucket.Object(f"site/{version.location}/model.onnx").put(Body=b"torn")
        assert kinds(check_packages) == [("damaged_package", str(version))]

    def test_the_champion_is_the_one_promoted_last(self) -> None:
        version = ModelVersionFactory.create()
        assert kinds(check_champion) == []
        promote_version(version=version, by=None)
        assert kinds(check_champion) == []
        ModelVersion.objects.update(state=ModelState.ARCHIVED)
        assert kinds(check_champion) == [("wrong_champion", str(version))]


class TestDatasets:
    @pytest.fixture
    def dataset(self, artifacts_root: Path, tiny_dataset: Path) -> Dataset:
        import json

        manifest = json.loads((tiny_dataset / "manifest.json").read_text())
        dataset: Dataset = DatasetFactory.create(
            location="datasets/1-1", manifest=manifest, sha256=hash_manifest(manifest)
        )
        shutil.copytree(tiny_dataset, artifacts_root / dataset.location)
        return dataset

    def test_a_whole_one(self, dataset: Dataset) -> None:
        assert kinds(check_datasets) == []

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("train_images.npy", b"torn", "Its file train_images.npy is gone or was altered."),
            ("test_labels.npy", None, "Its file test_labels.npy is gone or was altered."),
            ("manifest.json", b"{", "Its manifest is gone or damaged."),
            ("manifest.json", b"{}", "Its manifest is another one than the row has."),
        ],
    )
    def test_a_damaged_one(self, dataset: Dataset, name: str, content: bytes | None, sentence: str) -> None:
        if content is None:
            (dataset.path / name).unlink()
        else:
            (dataset.path / name).write_bytes(content)
        assert only(check_datasets).sentence == sentence

    def test_one_without_files(self) -> None:
        dataset = DatasetFactory.create(manifest=dataset_manifest("x"))
        assert kinds(check_datasets) == [("damaged_dataset", str(dataset))]


class TestFiles:
    def test_young_files_may_be_in_the_making(self) -> None:
        artifacts("models/abc").mkdir(parents=True)
        assert kinds(check_orphans) == []

    @pytest.mark.parametrize(("age_seconds", "is_repairable"), [(3600.0, False), (2 * DAY_SECONDS, True)])
    def test_orphans_older_than_a_day_may_be_removed(self, age_seconds: float, is_repairable: bool) -> None:
        artifacts("models/abc").mkdir(parents=True)
        moment = time.time() - age_seconds
        os.utime(artifacts("models/abc"), (moment, moment))
        finding = only(check_orphans)
        assert (finding.kind, finding.subject) == ("orphan", "models/abc")
        assert (finding.repair is not None) is is_repairable
        if finding.repair is not None:
            assert finding.repair() == "It was removed."
            assert kinds(check_orphans) == []

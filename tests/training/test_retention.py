"""What is removed, what never is, and the command that tells."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import DatasetFactory, DatasetImportFactory, ModelVersionFactory, TrainingRunFactory
from tests.fixtures import RemoteArtifacts
from tests.training.test_checkpoints import make_run, save
from training.choices import ImportSource, JobStatus
from training.models import TrainingRun
from training.retention import DAY_SECONDS, clean, find_orphans, find_removable
from training.storage import artifacts
from training.store import publish
from training.tasks import clean as clean_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def put(*locations: str) -> None:
    for location in locations:
        artifacts(location).mkdir(parents=True)
        (artifacts(location) / "file").write_bytes(b"12")


def age_everything(*, days: float = 2) -> None:
    moment = time.time() - days * DAY_SECONDS
    for path in artifacts().rglob("*"):
        os.utime(path, (moment, moment))


def end_earlier(run: TrainingRun, *, days: int) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(days=days))


def found() -> list[str]:
    return sorted(item.location for item in find_removable())


def test_an_empty_site_has_nothing_to_remove() -> None:
    assert found() == []


class TestOrphans:
    def test_files_that_no_row_names(self) -> None:
        dataset, version = DatasetFactory.create(location="datasets/1-1"), ModelVersionFactory.create()
        DatasetImportFactory.create(source=ImportSource.ARCHIVE, source_path="uploads/known", owns_source=True)
        put(dataset.location, "datasets/2-1", "models/abc", "models/.draft-1", "uploads/known", "uploads/unknown")
        age_everything()
        assert found() == ["datasets/2-1", "models/.draft-1", "models/abc", "uploads/unknown"]
        assert version.path.exists()

    def test_those_of_the_last_day_may_be_in_the_making(self) -> None:
        put("models/abc")
        assert found() == []
        assert [item.location for item in find_orphans(older_than_seconds=0)] == ["models/abc"]

    def test_checkpoints_of_runs_that_are_gone(self) -> None:
        location, _sha256 = save(step=10, run=99)
        age_everything()
        assert found() == [location]


class TestCheckpoints:
    @pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED])
    def test_those_of_a_run_that_ended_long_ago_go_and_are_forgotten(self, status: JobStatus) -> None:
        run = make_run(step=20, status=status)
        save(step=10, run=run.pk)
        end_earlier(run, days=31)
        clean()
        run.refresh_from_db()
        assert (run.checkpoint, run.checkpoint_sha256) == ("", "")
        assert not list(artifacts("runs").rglob("step-*"))

    def test_those_of_a_run_that_ended_lately_stay(self) -> None:
        run = make_run(step=20, status=JobStatus.FAILED)
        save(step=10, run=run.pk)
        save(step=5, run=run.pk)
        age_everything()
        end_earlier(run, days=29)
        assert found() == [f"runs/{run.pk}/1/checkpoints/step-00000005"]

    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
    def test_those_of_a_live_run_stay(self, status: JobStatus) -> None:
        run = make_run(step=20, status=status)
        save(step=10, run=run.pk)
        age_everything(days=99)
        assert found() == []

    def test_one_from_which_another_run_goes_on_stays(self) -> None:
        parent = make_run(step=20, status=JobStatus.SUCCEEDED)
        TrainingRunFactory.create(checkpoint=parent.checkpoint, checkpoint_step=20)
        end_earlier(parent, days=99)
        assert found() == []

    def test_a_run_that_was_resumed_meanwhile_keeps_it(self) -> None:
        run = make_run(step=20, status=JobStatus.FAILED)
        end_earlier(run, days=31)
        [item] = find_removable()
        TrainingRun.objects.filter(pk=run.pk).update(status=JobStatus.QUEUED, finished_at=None)
        item.remove()
        run.refresh_from_db()
        assert run.checkpoint == item.location
        assert artifacts(item.location).exists()


class TestWorkingFolders:
    def test_those_of_ended_jobs_go_without_their_checkpoints(self) -> None:
        run, job = make_run(step=20, status=JobStatus.FAILED, fence=2), DatasetImportFactory.create()
        live = TrainingRunFactory.create(status=JobStatus.RUNNING)
        put(f"runs/{run.pk}/1/package", f"runs/{run.pk}/2/package", f"runs/{live.pk}/1", f"imports/{job.pk}/1")
        put("imports/9999/1", ".drafts/abc")
        age_everything()
        assert found() == [".drafts/abc", "imports/9999/1", f"runs/{run.pk}/1", f"runs/{run.pk}/2/package"]
        clean()
        assert not artifacts("imports/9999").exists()
        assert artifacts(run.checkpoint).exists()

    def test_another_machines_checkpoints_are_in_the_store(self, remote_artifacts: RemoteArtifacts) -> None:
        run = make_run(step=20, status=JobStatus.FAILED)
        publish(run.checkpoint)
        age_everything()
        assert found() == [f"runs/{run.pk}/1"]
        clean()
        assert not artifacts("runs").joinpath(str(run.pk)).exists()
        assert remote_artifacts.keys("index/") == [f"index/{run.checkpoint}.json"]
        end_earlier(run, days=31)
        clean()
        assert remote_artifacts.keys() == []


class TestCommand:
    def test_a_dry_run_removes_nothing(self) -> None:
        put("models/abc")
        age_everything()
        output = StringIO()
        call_command("clean_artifacts", "--dry-run", stdout=output)
        assert output.getvalue() == (
            "   2\xa0bytes  models/abc  no model version names it\n1 could be removed: 2\xa0bytes\n"
        )
        assert artifacts("models/abc").exists()

    def test_it_tells_a_program_what_went(self) -> None:
        put("models/abc")
        age_everything()
        output = StringIO()
        call_command("clean_artifacts", "--json", stdout=output)
        [item] = json.loads(output.getvalue())
        assert (item["location"], item["size_bytes"], item["why"]) == ("models/abc", 2, "no model version names it")
        assert not artifacts("models/abc").exists()

    def test_another_age(self) -> None:
        run = make_run(step=20, status=JobStatus.FAILED)
        end_earlier(run, days=2)
        call_command("clean_artifacts", "--older-than", "1", stdout=StringIO())
        assert not artifacts(run.checkpoint).exists()

    @pytest.mark.parametrize("days", ["-1", "x", "99999"])
    def test_an_age_that_makes_no_sense(self, days: str) -> None:
        with pytest.raises(CommandError, match="is not a number of days"):
            call_command("clean_artifacts", f"--older-than={days}")

    def test_a_store_that_is_away_is_named(self, remote_artifacts: RemoteArtifacts) -> None:
        remote_artifacts.bucket.delete()
        with pytest.raises(CommandError, match="cannot be cleaned: The bucket that ARTIFACTS_URL names does not exist"):
            call_command("clean_artifacts")

    def test_beat_does_the_same(self, artifacts_root: Path) -> None:
        put("models/abc")
        age_everything()
        clean_task()
        assert not (artifacts_root / "models" / "abc").exists()

"""Backup and restore through their commands: complete, refused with a sentence, or nothing at all."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cifarsite.accounts.models import User
from cifarsite.backup import create, restore
from cifarsite.backup.archive import BackupError, write_archive
from cifarsite.backup.rows import dump_rows, find_rows, list_known, load_rows, snapshot
from classifier.models import Original, Prediction
from tests.factories import (
    DatasetFactory,
    ModelVersionFactory,
    OriginalFactory,
    PredictionFactory,
    TrainingRunFactory,
    UserFactory,
)
from tests.fixtures import RemoteArtifacts
from tests.training.test_checkpoints import make_run, save
from training.choices import JobStatus, ModelState
from training.models import TrainingRun, Worker
from training.storage import artifacts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifacts_root")]

Backup = Callable[[], Path]


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    def make() -> Path:
        target = tmp_path / "backup.tar"
        call_command("backup", str(target), stdout=io.StringIO())
        return target

    return make


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def rows_of(archive: Path, table: str) -> list[dict[str, object]]:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"database/{table}.jsonl")
        assert file is not None
        return [json.loads(line) for line in file]


class TestBackup:
    def test_it_holds_the_rows_and_the_files_that_they_name(self, backup: Backup) -> None:
        version, run = ModelVersionFactory.create(), make_run(step=20)
        save(step=10, run=run.pk)
        dataset = run.dataset
        artifacts(dataset.location).mkdir(parents=True)
        (artifacts(dataset.location) / "manifest.json").write_text("{}")
        artifacts("models/orphan").mkdir()
        names = members(backup())
        assert [name for name in names if not name.startswith("database/")] == [
            f"{run.checkpoint}/state.json",
            f"{run.checkpoint}/tensors.safetensors",
            f"{dataset.location}/manifest.json",
            *(f"{version.location}/{name}" for name in ("manifest.json", "model.onnx", "weights.safetensors")),
            "manifest.json",
        ]

    def test_moments_keep_their_microseconds(self, backup: Backup) -> None:
        user = UserFactory.create()
        User.objects.filter(pk=user.pk).update(date_joined=timezone.now().replace(microsecond=123456))
        [row] = rows_of(backup(), "accounts.user")
        assert str(row["fields"]["date_joined"]).endswith(".123456+00:00")  # type: ignore[index]

    def test_kept_files_are_read_one_at_a_time_and_come_back(self, tmp_path: Path) -> None:
        made = [OriginalFactory.create(data=bytes([number]) * 300) for number in range(3)]
        with snapshot(), CaptureQueriesContext(connection) as queries:
            dump_rows(tmp_path)
        read = [query["sql"] for query in queries if '"classifier_original"."data"' in query["sql"]]
        assert [sql.count(f'"prediction_id" = {row.pk} ') for sql, row in zip(read, made, strict=True)] == [1, 1, 1]
        call_command("flush", interactive=False, verbosity=0)
        with transaction.atomic():
            load_rows(tmp_path)
        back = list(Original.objects.order_by("pk"))
        assert [(row.pk, bytes(row.data), row.sha256) for row in back] == [(o.pk, o.data, o.sha256) for o in made]

    def test_sessions_and_workers_are_not_in_it(self, backup: Backup) -> None:
        Worker.objects.create(name="here", started_at=timezone.now(), last_seen_at=timezone.now())
        names = members(backup())
        assert "database/training.worker.jsonl" not in names
        assert not {name for name in names if name.endswith("session.jsonl")}

    def test_nothing_is_overwritten(self, backup: Backup) -> None:
        archive = backup()
        before = archive.read_bytes()
        with pytest.raises(CommandError, match="exists already"):
            backup()
        assert archive.read_bytes() == before

    def test_a_file_that_a_row_names_has_to_be_there(self, backup: Backup, tmp_path: Path) -> None:
        dataset = DatasetFactory.create()
        with pytest.raises(CommandError, match=f"{dataset.location} is named by a row and is not there"):
            backup()
        assert not (tmp_path / "backup.tar").exists()
        assert not list(tmp_path.glob(".backup*"))

    def test_a_checkpoint_that_was_replaced_meanwhile_costs_another_look(
        self, backup: Backup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = make_run(step=20, status=JobStatus.RUNNING, dataset=self.empty_dataset())
        original = create._list_locations

        def replace_then_list() -> tuple[list[str], list[str]]:
            found = original()
            if run.checkpoint_step == 20:
                run.checkpoint, run.checkpoint_sha256 = save(step=30, run=run.pk)
                (artifacts(found[0][0]) / "state.json").unlink()
                (artifacts(found[0][0]) / "tensors.safetensors").unlink()
                run.checkpoint_step = 30
            return found

        monkeypatch.setattr(create, "_list_locations", replace_then_list)
        monkeypatch.setattr(create, "snapshot", lambda: self.saving(run))
        names = members(backup())
        assert f"{run.checkpoint}/state.json" in names
        assert not any("step-00000020" in name for name in names)

    @staticmethod
    def empty_dataset() -> object:
        dataset = DatasetFactory.create()
        artifacts(dataset.location).mkdir(parents=True)
        (artifacts(dataset.location) / "manifest.json").write_text("{}")
        return dataset

    @staticmethod
    def saving(run: TrainingRun) -> object:
        """Stand for a snapshot of the moment after the run's last write."""
        run.save()
        return snapshot()

    def test_one_that_is_gone_for_good_is_named(self, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(create, "_TRIES", 2)
        TrainingRunFactory.create(checkpoint="runs/1/1/checkpoints/step-00000010")
        with pytest.raises(CommandError, match="names a checkpoint that is gone"):
            backup()

    def test_writers_are_not_kept_out(self, tmp_path: Path) -> None:
        UserFactory.create()
        with snapshot():
            files = dump_rows(tmp_path)
        assert f"{tmp_path}/accounts.user.jsonl" in map(str, files)
        UserFactory.create()


class TestRestore:
    """What is refused. A whole restore happens on a host of its own, in `tests/faults/test_restore.py`."""

    def test_a_database_with_rows_is_left_alone(self, backup: Backup) -> None:
        UserFactory.create(username="ada")
        archive = backup()
        with pytest.raises(CommandError, match=r"The database is not empty: it has users\. Restore into a new one\."):
            call_command("restore", str(archive))
        assert User.objects.get().username == "ada"

    def test_artifacts_that_are_there_are_left_alone(self, backup: Backup) -> None:
        archive = backup()
        artifacts("models/abc").mkdir(parents=True)
        with pytest.raises(CommandError, match="The artifacts are not empty: models has something"):
            call_command("restore", str(archive))
        assert artifacts("models/abc").exists()

    def test_an_archive_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be restored: No such file or directory"):
            call_command("restore", str(tmp_path / "none.tar"))

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (
                lambda names: [*names, ("training", "9999_future")],
                r"newer version of the site \(migration training",
            ),
            (lambda names: names[:-1], "older version of the site"),
        ],
    )
    def test_another_versions_tables_are_refused(
        self,
        tmp_path: Path,
        change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]],
        sentence: str,
    ) -> None:
        target = tmp_path / "backup.tar"
        with write_archive(target) as archive:
            archive.seal(created_at="now", migrations=change(list_known()))
        with pytest.raises(CommandError, match=sentence):
            call_command("restore", str(target))

    def test_rows_that_do_not_fit_leave_nothing(self, tmp_path: Path) -> None:
        target, source = tmp_path / "backup.tar", tmp_path / "rows"
        source.write_text('{"model": "classifier.prediction", "pk": 1, "fields": {"owner": 404}}\n')
        (tmp_path / "model").write_bytes(b"1")
        with write_archive(target) as archive:
            archive.add("database/classifier.prediction.jsonl", source)
            archive.add("models/abc/model.onnx", tmp_path / "model")
            archive.seal(created_at="now", migrations=list_known())
        with pytest.raises(CommandError, match="rows cannot be loaded"):
            call_command("restore", str(target))
        assert find_rows() == ""
        assert not artifacts("models").exists()
        assert list(artifacts(".drafts").iterdir()) == []

    def test_a_disk_that_fills_up_leaves_nothing(self, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
        archive = backup()

        def fail(*_args: object, **_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(restore, "extract", fail)
        with pytest.raises(CommandError, match="cannot be restored: No space left on device"):
            call_command("restore", str(archive))
        assert find_rows() == ""
        assert list(artifacts().iterdir()) == []

    def test_a_failure_at_the_very_end_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = tmp_path / "backup.tar"
        (tmp_path / "model").write_bytes(b"1")
        with write_archive(target) as archive:
            archive.add("models/abc/model.onnx", tmp_path / "model")
            archive.seal(created_at="now", migrations=list_known())

        def fail() -> list[str]:
            assert artifacts("models/abc/model.onnx").exists()
            raise BackupError("The last moment.")

        monkeypatch.setattr(restore, "_list_named", fail)
        monkeypatch.setattr(restore, "load_rows", lambda _folder: None)
        with pytest.raises(CommandError, match="The last moment"):
            call_command("restore", str(target))
        assert not artifacts("models").exists()

    def test_into_a_remote_store_it_publishes(
        self, backup: Backup, remote_artifacts: RemoteArtifacts, transactional_db: None
    ) -> None:
        version = ModelVersionFactory.create(state=ModelState.CHAMPION)
        PredictionFactory.create(model_version=version)
        archive = backup()
        call_command("flush", interactive=False, verbosity=0)
        remote_artifacts.bucket.objects.delete()
        remote_artifacts.move_to("second")
        call_command("restore", str(archive), stdout=io.StringIO())
        assert Prediction.objects.get().model_sha256 == version.package_sha256
        assert remote_artifacts.keys("index/") == [f"index/{version.location}.json"]

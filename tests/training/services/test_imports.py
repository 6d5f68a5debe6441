"""What may be asked of imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
)
from training.choices import ImportSource, JobStatus
from training.doorbell import EXECUTE_IMPORT
from training.exceptions import NameTakenError, ServiceError
from training.models import DatasetImport
from training.services import (
    request_import,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


class TestRequestImport:
    def test_a_download_needs_room_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.services.room.free_bytes", lambda: 5 * 1024**3)
        with pytest.raises(ServiceError, match=r"5.0.GB are free, 6.0.GB are needed"):
            request_import(owner=None, name="stl10", source=ImportSource.STL10)
        assert request_import(owner=None, name="cifar10", source=ImportSource.CIFAR10).pk

    def test_the_demo_needs_nothing(self, rung: list[tuple[str, int]]) -> None:
        job = request_import(owner=None, name="demo", source=ImportSource.DEMO)
        assert (job.status, job.name, job.source_path, job.owns_source) == (JobStatus.QUEUED, "demo", "", False)
        assert rung == [(EXECUTE_IMPORT, job.pk)]

    def test_a_path_is_kept_whole_and_stays_its_owners(self, tmp_path: Path) -> None:
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, source_path=tmp_path)
        assert (job.source_path, job.owns_source) == (str(tmp_path), False)

    def test_an_upload_is_stored_under_our_own_name(self, artifacts_root: Path) -> None:
        upload = SimpleUploadedFile("../../evil.zip", b"bytes")
        job = request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload)
        [stored] = (artifacts_root / "uploads").iterdir()
        assert (job.source_path, job.owns_source) == (f"uploads/{stored.name}", True)
        assert stored.read_bytes() == b"bytes"
        assert len(stored.name) == 32

    @pytest.mark.parametrize(
        "options",
        [
            {"source": ImportSource.ARCHIVE},
            {"source": ImportSource.ARCHIVE, "source_path": Path("/"), "upload": SimpleUploadedFile("a.zip", b"1")},
            {"source": ImportSource.ARCHIVE, "source_path": Path("/nowhere/at/all")},
            {"source": ImportSource.DEMO, "source_path": Path("/")},
            {"source": ImportSource.DEMO, "name": "../x"},
            {"source": ImportSource.DEMO, "name": "Upper"},
            {"source": ImportSource.DEMO, "name": ""},
            {"source": ImportSource.DEMO, "name": "line\n"},
            {"source": ImportSource.DEMO, "notes": "n" * 501},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict[str, Any], artifacts_root: Path) -> None:
        with pytest.raises(ServiceError):
            request_import(**{"owner": None, "name": "mine", **options})
        assert not DatasetImport.objects.exists()
        assert not (artifacts_root / "uploads").exists()

    def test_an_archive_that_is_too_large_is_refused(self, settings: Settings, artifacts_root: Path) -> None:
        settings.ARCHIVE_MAX_BYTES = 3
        upload = SimpleUploadedFile("a.zip", b"1234")
        with pytest.raises(ServiceError, match="larger than 3"):
            request_import(owner=None, name="mine", source=ImportSource.ARCHIVE, upload=upload)
        assert not (artifacts_root / "uploads").exists()

    def test_a_name_is_taken_by_a_dataset_or_by_an_import_under_way(self) -> None:
        DatasetFactory.create(name="taken")
        DatasetImportFactory.create(name="coming")
        DatasetImportFactory.create(name="failed", status=JobStatus.FAILED)
        with pytest.raises(NameTakenError, match="taken exists"):
            request_import(owner=None, name="taken", source=ImportSource.DEMO)
        with pytest.raises(NameTakenError, match="coming is being imported"):
            request_import(owner=None, name="coming", source=ImportSource.DEMO)
        request_import(owner=None, name="failed", source=ImportSource.DEMO)

    def test_no_file_is_left_when_the_row_cannot_be_written(
        self, artifacts_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_args: object, **_options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(DatasetImport, "save", fail)
        with pytest.raises(KeyboardInterrupt):
            request_import(
                owner=None, name="mine", source=ImportSource.ARCHIVE, upload=SimpleUploadedFile("a.zip", b"1")
            )
        assert list((artifacts_root / "uploads").iterdir()) == []

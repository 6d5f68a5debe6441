"""The pages of dataset imports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from tests.factories import DatasetFactory, DatasetImportFactory, in_state
from tests.training.people import Person, errors_of, text_of
from training.choices import ImportSource, JobStatus, Reason
from training.models import DatasetImport

pytestmark = pytest.mark.django_db


@pytest.fixture
def trainer() -> Person:
    return Person("trainer")


def ask(person: Person, **form: Any) -> Any:
    return person.post(reverse("import_new"), {"source": "demo", "name": "demo", **form})


def test_the_demo_needs_a_name_alone(trainer: Person) -> None:
    response = ask(trainer)
    job = DatasetImport.objects.get()
    assert response.headers["Location"] == reverse("import_detail", args=[job.pk])
    assert (job.name, job.source, job.owner, job.status) == ("demo", ImportSource.DEMO, trainer.user, JobStatus.QUEUED)


def test_an_archive_is_kept_for_the_worker(trainer: Person, artifacts_root: Path) -> None:
    archive = SimpleUploadedFile("../evil.zip", b"PK")
    ask(trainer, source="archive", name="mine", upload=archive, skip_unreadable="on", notes="holidays")
    job = DatasetImport.objects.get()
    assert (artifacts_root / job.source_path).read_bytes() == b"PK"
    assert "evil" not in job.source_path
    assert (job.owns_source, job.skip_unreadable, job.notes) == (True, True, "holidays")


def test_a_name_is_given_once(trainer: Person) -> None:
    DatasetFactory.create(name="demo")
    response = ask(trainer)
    assert errors_of(response) == {"name": ["A dataset named demo exists already."]}
    assert not DatasetImport.objects.exists()


def test_what_the_service_refuses_is_shown(trainer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.services.room.free_bytes", lambda: 1024)
    assert "The disk is almost full" in errors_of(ask(trainer))["__all__"][0]


def test_the_address_picks_the_source(trainer: Person) -> None:
    page = trainer.get(reverse("import_new"), {"source": "demo", "name": "demo"}).content.decode()
    assert re.findall(r'<input type="radio"[^>]*value="([a-z0-9]+)"[^>]*checked', page) == ["demo"]


def test_the_page_asks_again_until_the_import_has_ended(trainer: Person) -> None:
    job = DatasetImportFactory.create(status=JobStatus.RUNNING, progress_done=1, progress_total=2)
    live = reverse("import_live", args=[job.pk])
    page = trainer.get(live).content.decode()
    assert f'hx-get="{live}?state=running&amp;history=0"' in page
    assert 'value="50"' in page
    DatasetImport.objects.update(**in_state(JobStatus.SUCCEEDED), dataset=DatasetFactory.create())
    response = trainer.get(live, {"state": "running"})
    assert "hx-get" not in response.content.decode()
    assert "200 training and 40 test images are ready." in text_of(response)


def test_a_refused_import_tells_why(trainer: Person) -> None:
    job = DatasetImportFactory.create(
        status=JobStatus.FAILED, reason=Reason.BAD_DATASET, detail="train/cat/<i>.png is no image."
    )
    response = trainer.get(reverse("import_detail", args=[job.pk]))
    assert "The dataset cannot be used" in text_of(response)
    assert "train/cat/&lt;i&gt;.png is no image." in response.content.decode()
    assert f"{reverse('import_new')}?source=demo&amp;name={job.name}" in response.content.decode()


def test_ones_own_import_can_be_cancelled(trainer: Person) -> None:
    job = DatasetImportFactory.create(owner=trainer.user)
    response = trainer.post(reverse("import_cancel", args=[job.pk]), follow=True)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert "It was cancelled and left nothing behind." in text_of(response)
    again = trainer.post(reverse("import_cancel", args=[job.pk]), follow=True)
    assert "has ended already" in text_of(again)


def test_anothers_import_cannot(trainer: Person) -> None:
    job = DatasetImportFactory.create(owner=Person("trainer").user)
    assert trainer.post(reverse("import_cancel", args=[job.pk])).status_code == 403
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert Person("operator").post(reverse("import_cancel", args=[job.pk])).status_code == 302

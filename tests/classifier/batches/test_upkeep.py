"""What the rest of the site knows of batches: audit, backup, figures, workers, queues, the admin panel."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from cifarsite.accounts.models import User
from cifarsite.metrics import registry
from classifier.audit import check_batches
from classifier.models import BatchJob
from classifier.runner import execute_batch
from tests.classifier.archive_makers import BROKEN, pictures, request
from training.job_kinds import uploads_in_use
from training.models import ModelVersion
from training.services import list_queues
from training.services.watching import report_queues

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def found() -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in check_batches()]


class TestAudit:
    def test_a_sound_batch(self, user: User, champion: ModelVersion) -> None:
        execute_batch(request(user, pictures(2)).pk)
        request(user, pictures(2))
        assert found() == []

    def test_mismatches(self, user: User, champion: ModelVersion, artifacts_root: Path) -> None:
        short, without, foreign = (request(user, pictures(2)) for _number in range(3))
        for job in (short, foreign):
            execute_batch(job.pk)
        short.items.filter(index=1).delete()
        (artifacts_root / without.archive).unlink()
        BatchJob.objects.filter(pk=foreign.pk).update(model_sha256="0" * 64)
        assert found() == [
            ("wrong_count", str(short)),
            ("missing_archive", str(without)),
            ("foreign_batch", str(foreign)),
        ]


def test_a_backup_has_the_archives_of_those_that_may_go_on(user: User, champion: ModelVersion) -> None:
    done, waiting = request(user, pictures(1)), request(user, pictures(1))
    execute_batch(done.pk)
    assert uploads_in_use() == [waiting.archive]


def test_figures(user: User, champion: ModelVersion) -> None:
    execute_batch(request(user, {**pictures(3), "bad.png": BROKEN}).pk)
    request(user, pictures(1))
    assert registry.get_sample_value("cifarsite_batch_pictures", {"outcome": "answered"}) == 3
    assert registry.get_sample_value("cifarsite_batch_pictures", {"outcome": "refused"}) == 1
    assert registry.get_sample_value("cifarsite_jobs", {"kind": "batchjob", "state": "queued"}) == 1
    assert registry.get_sample_value("cifarsite_queue_jobs", {"queue": "inference"}) == 1


def test_queues(user: User) -> None:
    request(user, pictures(1))
    assert {state.name.value: state.queued for state in list_queues()} == {"training": 0, "inference": 1}
    assert {queue.name: queue.waiting for queue in report_queues()}["inference"] == 1


def test_the_staff_sees_numbers_and_no_names(user: User, champion: ModelVersion, settings: Settings) -> None:
    job = request(user, {"secret-name.png": b""}, name="private.zip")
    BatchJob.claim(job.pk, worker="test@localhost:1")
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    for path in ("/workers/", "/admin/classifier/batchjob/", "/api/v1/workers"):
        shown = client.get(path)
        assert shown.status_code == 200, path
        assert "private.zip" not in shown.content.decode()
        assert user.username not in shown.content.decode()
    assert f"Batch {job.pk}" in client.get("/admin/classifier/batchjob/").content.decode()
    assert client.get(f"/admin/classifier/batchjob/{job.pk}/change/").status_code in {302, 403}

"""`manage.py batch`: accepted or refused, and watched to its end."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from cifarsite.accounts.models import User
from classifier.models import BatchJob
from classifier.runner import execute_batch
from tests.classifier.archive_makers import pictures, zip_of
from training.models import ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.zip"
    path.write_bytes(zip_of({f"cat/{name}": data for name, data in pictures(4).items()}))
    return path


def run(*arguments: str | Path) -> str:
    out = io.StringIO()
    call_command("batch", *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_it_is_queued(archive: Path, user: User) -> None:
    told = run(archive, "--user", user.username)
    job = BatchJob.objects.get()
    assert (job.owner, job.name, job.source, job.status) == (user, "pictures.zip", "command", "queued")
    assert told == f"Batch {job.pk}: Queued, 0 of 4 pictures.\n"


def test_it_is_watched_to_its_end(
    archive: Path, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: execute_batch(BatchJob.objects.get().pk))
    told = run(archive, "--user", user.username, "--wait").splitlines()
    number = BatchJob.objects.get().pk
    assert told[0] == "No worker is running, so this waits. Start one with `make up`."
    assert told[-1] == f"Batch {number}: Succeeded, 4 of 4 pictures, accuracy 25.00% on 4 labelled ones."


def test_json_has_the_shape_of_the_api(archive: Path, user: User) -> None:
    body = json.loads(run(archive, "--user", user.username, "--json"))
    assert (body["status"], body["progress"]) == ("queued", {"done": 0, "total": 4})


def test_what_is_refused(tmp_path: Path, user: User, archive: Path) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no archive")
    with pytest.raises(CommandError, match="This is no"):
        run(bad, "--user", user.username)
    with pytest.raises(CommandError, match="No such file"):
        run(tmp_path / "nothing.zip", "--user", user.username)
    with pytest.raises(CommandError, match="There is no active account named 'nobody'"):
        run(archive, "--user", "nobody")
    assert not BatchJob.objects.exists()

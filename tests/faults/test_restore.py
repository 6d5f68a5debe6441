"""A backup restored on an empty host: the audit is clean, history is there, the champion answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.factories import OriginalFactory, UserFactory
from tests.fixtures import ROOT
from tests.tiny_model import picture
from training.choices import ImportSource, JobStatus
from training.models import Dataset, TrainingRun
from training.runner import execute_import, execute_run
from training.services import promote_version, request_import, request_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("artifacts_root", "stub_engine"),
]

Manage = Callable[..., "subprocess.CompletedProcess[str]"]
REPORT = """
import json
from classifier.models import Original, Prediction
from training.models import TrainingRun
from training.transitions import Transition
runs = TrainingRun.objects.order_by("pk")
print(json.dumps({
    "predictions": list(Prediction.objects.values_list("owner__username", "class_key")),
    "thumbnails": [bytes(row.thumbnail).hex() for row in Prediction.objects.all()],
    "originals": [bytes(row.data).hex() for row in Original.objects.all()],
    "runs": list(runs.values_list("status", flat=True)),
    "requested": [run.requested_at.isoformat() for run in runs],
    "epochs": [run.epochs.count() for run in runs],
    "transitions": Transition.objects.count(),
}))
"""


@pytest.fixture
def manage(tmp_path: Path) -> Manage:
    """Return a function that runs a command on another host: an embedded one, in a folder of its own."""
    var = tmp_path / "other" / "var"
    kept = {name: value for name, value in os.environ.items() if name not in {"ARTIFACTS_ROOT", "STUB_ENGINE"}}
    environment = {
        **kept,
        "CIFARSITE_VAR": str(var),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "SECRET_KEY": "",
        "MLFLOW_TRACKING_URI": "off",
        "DJANGO_SETTINGS_MODULE": "cifarsite.settings",
        "LOG_LEVEL": "WARNING",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return run


def lead_a_life() -> TrainingRun:
    """Import, train, promote and classify; returns a run that is under way."""
    job = request_import(owner=None, name="shapes", source=ImportSource.DEMO, announce=False)
    execute_import(job.pk)
    runs = [
        request_run(
            owner=None,
            dataset=Dataset.objects.get(),
            recipe="fast",
            overrides={"epochs": 2, "seed": seed},
            announce=False,
        )
        for seed in (1, 2)
    ]
    execute_run(runs[0].pk)
    runs[0].refresh_from_db()
    assert runs[0].status == JobStatus.SUCCEEDED
    promote_version(version=runs[0].version, by=None)
    owner = UserFactory.create(username="ada")
    OriginalFactory.create(prediction__owner=owner, prediction__model_version=runs[0].version)
    claimed = TrainingRun.claim(runs[1].pk, worker="here")
    assert claimed is not None
    return claimed


def test_restore_of_a_backup_on_an_empty_host(manage: Manage, tmp_path: Path) -> None:
    under_way = lead_a_life()
    archive = tmp_path / "backup.tar"
    call_command("backup", str(archive), stdout=StringIO())

    restored = manage("restore", str(archive))
    assert restored.returncode == 0, restored.stderr
    audited = manage("audit")
    assert (audited.returncode, audited.stdout) == (0, "Everything agrees.\n"), audited.stdout + audited.stderr

    report = json.loads(manage("shell", "--no-imports", "-c", REPORT).stdout)
    assert report["predictions"] == [["ada", "cat"]]
    assert report["thumbnails"] == [picture(image_format="JPEG").hex()]
    assert report["originals"] == [picture(size=(320, 240)).hex()]
    assert report["runs"] == [JobStatus.SUCCEEDED, JobStatus.QUEUED]  # the worker of the second one is elsewhere
    assert report["requested"][1] == under_way.requested_at.isoformat()
    assert report["epochs"] == [2, 0]

    (tmp_path / "cat.png").write_bytes(picture(3))
    answered = manage("predict", str(tmp_path / "cat.png"), "--user", "ada", "--json")
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout)[0]["class_name"] == "cat"

    again = manage("restore", str(archive))
    assert again.returncode == 1
    assert "not empty" in again.stderr


def test_a_damaged_backup_leaves_the_host_empty(manage: Manage, tmp_path: Path) -> None:
    lead_a_life()
    archive = tmp_path / "backup.tar"
    call_command("backup", str(archive), stdout=StringIO())
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused = manage("restore", str(archive))
    assert refused.returncode == 1
    assert "CommandError" in refused.stderr
    assert not (tmp_path / "other" / "var" / "db.sqlite3").exists()
    assert not (tmp_path / "other" / "var" / "artifacts").exists()

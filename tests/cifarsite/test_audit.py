"""`manage.py audit`: what it prints, what it repairs, how it exits."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from classifier.audit import check_predictions
from classifier.models import Prediction
from tests.factories import ModelVersionFactory, PredictionFactory, TrainingRunFactory
from training.choices import JobStatus
from training.models import ModelVersion, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def audit(*options: str) -> tuple[int, str]:
    output = StringIO()
    try:
        call_command("audit", *options, stdout=output)
    except SystemExit as stop:
        return int(stop.code or 0), output.getvalue()
    return 0, output.getvalue()


@pytest.fixture
def lost() -> TrainingRun:
    """A running run whose lease has ended, on a dataset that is whole."""
    run: TrainingRun = TrainingRunFactory.create(status=JobStatus.RUNNING)
    TrainingRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    return run


@pytest.fixture
def unreachable(lost: TrainingRun) -> ModelVersion:
    """A version whose package is gone."""
    version: ModelVersion = ModelVersionFactory.create()
    (version.path / "model.onnx").unlink()
    return version


def test_a_clean_site() -> None:
    assert audit() == (0, "Everything agrees.\n")
    assert audit("--json") == (0, "[]\n")


def test_what_is_found_is_told_and_left(lost: TrainingRun) -> None:
    code, text = audit()
    assert code == 1
    first = f"{lost}: It is running, and its worker was not heard of since its lease ended."
    assert text.splitlines()[0] == first
    assert text.splitlines()[-1] == "2 found; 1 can be repaired with --repair."  # the dataset has no files
    lost.refresh_from_db()
    assert lost.status == JobStatus.RUNNING


def test_repairing_does_what_is_safe_and_leaves_the_rest(unreachable: ModelVersion, lost: TrainingRun) -> None:
    code, text = audit("--repair", "--json")
    found = {entry["kind"]: entry for entry in json.loads(text)}
    assert code == 1
    assert found["expired_lease"]["repaired"] == "It was taken back from its worker."
    assert (found["damaged_package"]["repairable"], found["damaged_package"]["repaired"]) == (False, None)
    lost.refresh_from_db()
    assert lost.status == JobStatus.QUEUED


class TestPredictions:
    def test_those_of_a_known_version(self) -> None:
        PredictionFactory.create()
        assert list(check_predictions()) == []

    def test_those_that_name_another_model(self) -> None:
        version = PredictionFactory.create().model_version
        Prediction.objects.update(model_sha256="f" * 64)
        [finding] = check_predictions()
        assert (finding.kind, finding.subject) == ("foreign_predictions", str(version))
        assert finding.sentence == "1 of its predictions name another model, ffffffffffff…."

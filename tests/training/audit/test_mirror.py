"""What the audit says of MLflow; what differs there is tested with the comparison itself."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.factories import TrainingRunFactory
from training.audit import mirror
from training.audit.mirror import check_mirror
from training.choices import JobStatus
from training.mirror_audit import MirrorMismatch
from training.models import TrainingRun
from training.tracking import MlflowUnavailableError

pytestmark = pytest.mark.django_db


def test_where_nothing_is_tracked_nothing_is_said(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = ""
    assert list(check_mirror()) == []


class TestTracked:
    @pytest.fixture(autouse=True)
    def _tracked(self, settings: Settings) -> None:
        settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"

    def test_a_run_that_differs_is_told_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = TrainingRunFactory.create(status=JobStatus.FAILED, mlflow_state="FAILED", mlflow_taken_step=10)
        found = [MirrorMismatch(what="Run 1: it differs.", run=run.pk), MirrorMismatch(what="Nobody is champion.")]
        monkeypatch.setattr(mirror, "find_mirror_mismatches", lambda: found)
        first, second = check_mirror()
        assert (first.kind, first.sentence, second.repair) == ("mlflow_differs", "Run 1: it differs.", None)
        assert first.repair is not None
        assert first.repair() == "It is told again within minutes."
        assert TrainingRun.objects.values_list("mlflow_state", "mlflow_taken_step").get() == ("", 0)

    def test_one_that_does_not_answer_is_a_finding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> list[MirrorMismatch]:
            raise MlflowUnavailableError("MLflow does not answer.")

        monkeypatch.setattr(mirror, "find_mirror_mismatches", fail)
        [finding] = check_mirror()
        assert (finding.kind, finding.subject, finding.sentence) == ("unchecked", "MLflow", "MLflow does not answer.")

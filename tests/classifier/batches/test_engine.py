"""Batches that the engine's own process answers: the same rows as OpenVINO's, and the same ends."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from pytest_django import Settings

from cifarsite.accounts.models import User
from classifier.batches import engine
from classifier.models import BatchJob
from classifier.runner import execute_batch
from tests.classifier.archive_makers import BROKEN, pictures, request
from tests.tiny_model import crown
from training.choices import JobStatus, Reason
from training.devices import Gpu, HeldDevices
from training.models import ModelVersion
from training.registry import register_package
from training.supervisor import Timings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifacts_root")]

QUICK = Timings(poll=0.05, heartbeat=0.5, lease=5.0, grace=2.0, progress=60.0)


@pytest.fixture
def trained(tiny_package: Path, artifacts_root: Path, transactional_db: None) -> ModelVersion:
    """A champion that both kinds can compute."""
    version = register_package(tiny_package, run=None)
    crown(version)
    return version


def carry_out(user: User, files: dict[str, bytes]) -> BatchJob:
    job = request(user, files)
    execute_batch(job.pk, timings=QUICK)
    return BatchJob.objects.get(pk=job.pk)


def test_the_engine_answers_as_openvino_does(user: User, trained: ModelVersion, settings: Settings) -> None:
    key = trained.class_keys[0]
    files = {**{f"{key}/{name}": data for name, data in pictures(30).items()}, "bad.png": BROKEN, "empty.png": b""}
    settings.INFERENCE_PRECISION = "f32"
    by_engine = {}
    for kind in ("openvino", "torch"):
        settings.BATCH_ENGINE = kind
        job = carry_out(user, files)
        assert (job.status, job.progress_done, job.error_count, job.labelled_count) == ("succeeded", 32, 2, 30)
        assert (job.model_version, job.metrics["count"]) == (trained, 30)
        by_engine[kind] = list(job.items.order_by("index"))
    for mine, theirs in zip(by_engine["torch"], by_engine["openvino"], strict=True):
        fields = ("index", "name", "class_key", "error_code", "error_detail", "expected_key")
        assert [getattr(mine, field) for field in fields] == [getattr(theirs, field) for field in fields]
        if mine.class_key:
            assert mine.probabilities == pytest.approx(theirs.probabilities, abs=1e-3)


def test_an_engine_that_cannot_answer_fails_the_batch(
    user: User, trained: ModelVersion, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BATCH_ENGINE = "torch"
    monkeypatch.setattr(engine, "engine_command", lambda *_arguments: ["/bin/true"])
    job = carry_out(user, pictures(2))
    assert (job.status, job.reason, job.items.count()) == (JobStatus.FAILED, Reason.ERROR, 0)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("auto", 0, True), None),
        (("auto", 1, True), {"CUDA_VISIBLE_DEVICES": "0"}),
        (("auto", 1, False), None),
        (("openvino", 1, True), None),
        (("torch", 0, True), {}),
        (("torch", 1, True), {"CUDA_VISIBLE_DEVICES": "0"}),
    ],
)
def test_what_answers(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, int, bool],
    expected: dict[str, str] | None,
) -> None:
    chosen, gpus, is_free = place
    settings.BATCH_ENGINE = chosen
    monkeypatch.setattr(engine, "list_gpus", lambda: (Gpu("0", "card"),) * gpus)
    held = HeldDevices(ids=("0",)) if is_free else None
    monkeypatch.setattr(engine, "hold_devices", lambda _count: nullcontext(held))
    with engine.hold_engine() as environment:
        assert environment == expected

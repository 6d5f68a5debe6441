"""Asking for evaluations."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from tests.factories import DatasetFactory, EvaluationFactory, ModelVersionFactory, UserFactory, dataset_manifest
from training.choices import JobStatus, QueueName
from training.exceptions import ServiceError
from training.models import Evaluation, Transition
from training.services import cancel_evaluation, find_evaluable, request_evaluation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def test_it_is_queued_where_batches_are() -> None:
    version, dataset, owner = ModelVersionFactory.create(), DatasetFactory.create(), UserFactory.create()
    job = request_evaluation(owner=owner, version=version, dataset=dataset, with_augmentation=True)
    job.refresh_from_db()
    assert (job.status, job.owner, job.with_augmentation) == (JobStatus.QUEUED, owner, True)
    assert (job.queue, job.accuracy, str(job)) == (
        QueueName.INFERENCE, None, f"Evaluation {job.pk} of {version}"
    )  # fmt: skip
    assert Transition.objects.of(job).count() == 1


def test_other_classes_are_refused() -> None:
    version = ModelVersionFactory.create()
    other = DatasetFactory.create(name="two", manifest=dataset_manifest("two", class_keys=["circle", "square"]))
    with pytest.raises(ServiceError, match=f"^{version} knows other classes than the dataset “two” has.$"):
        request_evaluation(owner=None, version=version, dataset=other)
    fitting = DatasetFactory.create()
    assert list(find_evaluable(version)) == [fitting]


def test_one_of_a_pair_is_under_way_at_a_time() -> None:
    first = EvaluationFactory.create(status=JobStatus.RUNNING)
    pair = {"version": first.version, "dataset": first.dataset}
    with pytest.raises(ServiceError, match=r"is being evaluated on the dataset “.*” already"):
        request_evaluation(owner=None, **pair)
    assert Evaluation.objects.count() == 1
    first.succeed()
    assert request_evaluation(owner=None, **pair).pk


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.services.room.free_bytes", lambda: 1024)
    version, dataset = ModelVersionFactory.create(), DatasetFactory.create()
    with pytest.raises(ServiceError, match="The disk is almost full"):
        request_evaluation(owner=None, version=version, dataset=dataset)
    assert not Evaluation.objects.exists()


def test_its_owner_and_operators_cancel_it() -> None:
    owner, stranger = UserFactory.create(groups=["trainer"]), UserFactory.create(groups=["trainer"])
    job = EvaluationFactory.create(owner=owner)
    with pytest.raises(PermissionDenied):
        cancel_evaluation(evaluation=job, by=stranger)
    cancel_evaluation(evaluation=job, by=owner)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    with pytest.raises(ServiceError, match=f"{job} has ended already"):
        cancel_evaluation(evaluation=job, by=UserFactory.create(groups=["operator"]))

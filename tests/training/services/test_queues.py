"""Pausing queues, priorities, and limits."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from pytest_django import Settings

from tests.factories import DatasetFactory, TrainingRunFactory, UserFactory
from training.choices import JobStatus, Priority, QueueName
from training.exceptions import ServiceError
from training.models import JobQueue, TrainingRun
from training.services import pause_queue, request_run, set_priority, unpause_queue

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


def test_a_paused_queue_starts_nothing_until_it_goes_on() -> None:
    operator = UserFactory.create(groups=["operator"])
    run = TrainingRunFactory.create()
    pause_queue(name=QueueName.TRAINING, by=operator)
    queue = JobQueue.objects.get(name=QueueName.TRAINING)
    assert (queue.paused_at is not None, queue.paused_by) == (True, operator)
    assert TrainingRun.claim(run.pk, worker="here") is None
    unpause_queue(name=QueueName.TRAINING, by=operator)
    assert TrainingRun.claim(run.pk, worker="here") is not None


def test_what_is_so_already_is_said() -> None:
    with pytest.raises(ServiceError, match=r"^The queue “Training” is not paused.$"):
        unpause_queue(name=QueueName.TRAINING, by=None)
    pause_queue(name=QueueName.TRAINING, by=None)
    with pytest.raises(ServiceError, match=r"^The queue “Training” is paused already.$"):
        pause_queue(name=QueueName.TRAINING, by=None)


def test_only_operators_pause() -> None:
    trainer = UserFactory.create(groups=["trainer"])
    with pytest.raises(PermissionDenied):
        pause_queue(name=QueueName.TRAINING, by=trainer)
    assert not JobQueue.objects.exclude(paused_at=None).exists()


def test_an_owner_lets_others_go_first_and_an_operator_lets_anybody_overtake() -> None:
    run = TrainingRunFactory.create(owner=UserFactory.create(groups=["trainer"]))
    set_priority(job=run, priority=Priority.LOW, by=run.owner)
    run.refresh_from_db()
    assert run.priority == Priority.LOW
    with pytest.raises(PermissionDenied):
        set_priority(job=run, priority=Priority.HIGH, by=run.owner)
    with pytest.raises(PermissionDenied):
        set_priority(job=run, priority=Priority.LOW, by=UserFactory.create(groups=["trainer"]))
    set_priority(job=run, priority=Priority.HIGH, by=UserFactory.create(groups=["operator"]))
    run.refresh_from_db()
    assert run.priority == Priority.HIGH


def test_a_run_that_has_started_has_no_turn_any_more() -> None:
    run = TrainingRunFactory.create(status=JobStatus.RUNNING)
    with pytest.raises(ServiceError, match=f"^Run {run.pk} does not wait any more.$"):
        set_priority(job=run, priority=Priority.LOW, by=None)


def test_a_user_has_so_many_runs_under_way_and_no_more(settings: Settings) -> None:
    settings.USER_ACTIVE_RUNS = 2
    owner = UserFactory.create(groups=["trainer"])
    for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
        TrainingRunFactory.create(owner=owner, status=status)
    dataset = DatasetFactory.create()
    with pytest.raises(ServiceError, match=r"^You have 2 runs under way, the most that is allowed: wait "):
        request_run(owner=owner, dataset=dataset, recipe="fast", overrides={})
    assert TrainingRun.objects.filter(dataset=dataset).count() == 0
    request_run(owner=None, dataset=dataset, recipe="fast", overrides={})
    request_run(owner=UserFactory.create(groups=["trainer"]), dataset=dataset, recipe="fast", overrides={})

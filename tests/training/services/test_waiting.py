"""Why runs wait, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, UserFactory, make_config
from training.choices import JobStatus, Priority, QueueName
from training.models import Dataset, TrainingRun, Worker
from training.services import Waiting, WaitsFor, describe_waiting, pause_queue, unpause_queue
from training.services.room import count_training_lanes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.services.waiting.timezone.now", lambda: NOW)


@pytest.fixture
def dataset() -> Dataset:
    """A dataset on which an epoch takes ten seconds, as a run that succeeded tells."""
    dataset: Dataset = DatasetFactory.create()
    config = make_config(epochs=4)
    TrainingRunFactory.create(
        dataset=dataset, status=JobStatus.SUCCEEDED, wall_seconds=4 * EPOCH_SECONDS, config=config
    )
    return dataset


def start_workers(count: int) -> None:
    moment = timezone.now()
    for number in range(count):
        Worker.objects.create(name=f"w{number}", host=f"h{number}", queues=["training"], started_at=moment)
    Worker.objects.create(name="other", queues=["default"], started_at=moment)


@pytest.fixture(autouse=True)
def _worker_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers count as heard of, whatever clock a test has."""
    field = Worker._meta.get_field("last_seen_at")
    monkeypatch.setattr(field, "default", lambda: datetime.now(UTC) + timedelta(days=1))


def queue(dataset: Dataset, *, epochs: int = 10, **fields: Any) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(dataset=dataset, config=make_config(epochs=epochs), **fields)
    return run


def why(run: TrainingRun) -> Waiting:
    return describe_waiting([run])[run.pk]


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("workers", "lanes"),
    [
        ([("here", 1, 1), ("there", 1, 1)], 2),
        ([("here", 4, 4)], 4),  # one worker, four graphics cards
        ([("here", 1, 1), ("here", 1, 1)], 1),  # two workers share one processor
        ([("here", 1, 4), ("here", 2, 4), ("there", 8, 2)], 5),
        ([], 0),
    ],
)
def test_a_machine_trains_no_more_runs_than_it_has_processes_and_devices_for(
    workers: list[tuple[str, int, int]], lanes: int
) -> None:
    for number, (host, concurrency, devices) in enumerate(workers):
        Worker.objects.create(
            name=f"w{number}", host=host, queues=["training"], concurrency=concurrency, devices=devices, started_at=NOW
        )
    assert count_training_lanes() == lanes


def test_the_first_runs_are_taken_in_a_moment_and_the_others_in_their_turn(dataset: Dataset) -> None:
    start_workers(2)
    runs = [queue(dataset, epochs=epochs) for epochs in (10, 20, 5, 5)]
    assert describe_waiting(runs) == {
        runs[0].pk: Waiting(WaitsFor.WORKER, position=1, expected_start=at(0)),
        runs[1].pk: Waiting(WaitsFor.WORKER, position=2, expected_start=at(0)),
        runs[2].pk: Waiting(WaitsFor.TURN, position=3, expected_start=at(100)),
        runs[3].pk: Waiting(WaitsFor.TURN, position=4, expected_start=at(150)),
    }
    assert [why(run).before for run in runs] == [0, 1, 2, 3]


def test_a_high_priority_is_before_an_older_request(dataset: Dataset) -> None:
    start_workers(1)
    low, normal, high = (queue(dataset, priority=priority) for priority in Priority.values)
    assert [why(run).position for run in (low, normal, high)] == [3, 2, 1]
    assert [why(run).expected_start for run in (low, normal, high)] == [at(200), at(100), at(0)]


def test_what_is_at_work_counts_with_what_is_left_of_it(dataset: Dataset) -> None:
    start_workers(1)
    running = queue(dataset, status=JobStatus.RUNNING, started_at=at(-60), progress_done=75, progress_total=100)
    run = queue(dataset)
    assert why(run) == Waiting(WaitsFor.TURN, position=1, expected_start=at(20))
    EpochMetricFactory.create(run=running, epoch=1, step=10, seconds=12.0)
    EpochMetricFactory.create(run=running, epoch=2, step=20, seconds=4.0)
    assert why(run).expected_start == at(10)  # 0.4 s a step


def test_a_run_without_a_pace_yet_takes_what_others_took(dataset: Dataset) -> None:
    start_workers(1)
    queue(dataset, status=JobStatus.RUNNING, started_at=at(-1))
    assert why(queue(dataset)).expected_start == at(100)


def test_nothing_is_known_behind_a_run_of_a_kind_that_never_succeeded(dataset: Dataset) -> None:
    start_workers(1)
    unknown, run = queue(DatasetFactory.create()), queue(dataset)
    assert why(unknown) == Waiting(WaitsFor.WORKER, position=1, expected_start=at(0))
    assert why(run) == Waiting(WaitsFor.TURN, position=2, expected_start=None)


def test_without_a_worker_nothing_begins(dataset: Dataset) -> None:
    start_workers(0)
    assert why(queue(dataset)) == Waiting(WaitsFor.NO_WORKER, position=1, expected_start=None)


def test_who_trains_is_a_worker_although_none_reported_itself(dataset: Dataset) -> None:
    queue(dataset, status=JobStatus.RUNNING, started_at=at(-10), progress_done=1, progress_total=2)
    assert why(queue(dataset)) == Waiting(WaitsFor.TURN, position=1, expected_start=at(10))


def test_a_paused_queue_keeps_the_turns(dataset: Dataset) -> None:
    start_workers(1)
    first, second = queue(dataset), queue(dataset)
    pause_queue(name=QueueName.TRAINING, by=None)
    assert why(first) == Waiting(WaitsFor.QUEUE, position=1, expected_start=None)
    assert why(second) == Waiting(WaitsFor.QUEUE, position=2, expected_start=None)
    unpause_queue(name=QueueName.TRAINING, by=None)
    assert why(first) == Waiting(WaitsFor.WORKER, position=1, expected_start=at(0))


def test_a_run_that_follows_another_has_no_place_in_the_line(dataset: Dataset) -> None:
    start_workers(2)
    running = queue(dataset, status=JobStatus.RUNNING, started_at=at(-10), progress_done=1, progress_total=2)
    follower, next_one = queue(dataset, after=running), queue(dataset)
    assert why(follower) == Waiting(
        WaitsFor.RUN, position=None, expected_start=at(10), after=running.pk, after_status=JobStatus.RUNNING
    )
    assert why(follower).before == 0
    assert why(next_one) == Waiting(WaitsFor.WORKER, position=1, expected_start=at(0))


def test_once_the_run_before_has_succeeded_it_is_a_run_like_others(dataset: Dataset) -> None:
    start_workers(1)
    done = queue(dataset, status=JobStatus.SUCCEEDED)
    assert why(queue(dataset, after=done)) == Waiting(WaitsFor.WORKER, position=1, expected_start=at(0))


def test_it_does_not_begin_when_the_run_before_failed(dataset: Dataset) -> None:
    start_workers(1)
    dead = queue(dataset, status=JobStatus.FAILED)
    assert why(queue(dataset, after=dead)) == Waiting(
        WaitsFor.RUN, position=None, expected_start=None, after=dead.pk, after_status=JobStatus.FAILED
    )


def test_the_owners_limit_holds_runs_back(dataset: Dataset, settings: Settings) -> None:
    settings.USER_RUNNING_RUNS = 1
    start_workers(2)
    ada, bob = UserFactory.create_batch(2)
    queue(dataset, owner=ada, status=JobStatus.RUNNING, started_at=at(-10), progress_done=1, progress_total=2)
    held_back, others = queue(dataset, owner=ada), queue(dataset, owner=bob)
    assert why(held_back) == Waiting(WaitsFor.OWNER, position=None, expected_start=at(10))
    assert why(others) == Waiting(WaitsFor.WORKER, position=1, expected_start=at(0))


def test_only_queued_runs_wait(dataset: Dataset, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    runs = [queue(dataset, status=status) for status in JobStatus if status != JobStatus.QUEUED]
    with django_assert_num_queries(0):
        assert describe_waiting(runs) == {}


def test_a_run_that_is_no_longer_queued_is_left_out(dataset: Dataset) -> None:
    stale = queue(dataset)
    TrainingRun.request_cancel(stale.pk)
    assert describe_waiting([stale]) == {}


@pytest.mark.parametrize("count", [1, 6])
def test_its_number_of_queries_is_constant(
    dataset: Dataset, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    start_workers(2)
    for _number in range(count):
        running = queue(dataset, status=JobStatus.RUNNING, started_at=at(-10), progress_done=1, progress_total=2)
        EpochMetricFactory.create(run=running)
    runs = [queue(dataset, continues=running, after=running) for _number in range(count)]
    with django_assert_num_queries(8):
        assert len(describe_waiting(runs)) == count


def test_those_far_behind_have_a_position_and_no_estimate(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.services.waiting._FORESEEN", 1)
    start_workers(1)
    queue(dataset)
    assert why(queue(dataset)) == Waiting(WaitsFor.TURN, position=2, expected_start=None)

"""What runs that are not at work will take."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.factories import DatasetFactory, TrainingRunFactory, make_config
from training.choices import JobStatus
from training.models import Dataset, TrainingRun
from training.pace import expected_seconds

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Dataset:
    dataset: Dataset = DatasetFactory.create()
    return dataset


def make_run(dataset: Dataset, *, epochs: int, **fields: Any) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(dataset=dataset, config=make_config(epochs=epochs), **fields)
    return run


def seconds_of(run: TrainingRun) -> float | None:
    return expected_seconds([run])[run.pk]


def test_epochs_take_as_long_as_those_of_the_newest_run_of_that_dataset_and_recipe(dataset: Dataset) -> None:
    make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=1000.0)
    make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=40.0)
    make_run(dataset, epochs=4, status=JobStatus.FAILED, wall_seconds=7.0)
    make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=7.0, recipe="accurate")
    make_run(DatasetFactory.create(), epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=7.0)
    assert seconds_of(make_run(dataset, epochs=10)) == 100.0


def test_without_such_a_run_nothing_is_known(dataset: Dataset) -> None:
    assert seconds_of(make_run(dataset, epochs=10)) is None


def test_a_run_that_was_at_work_has_less_left(dataset: Dataset) -> None:
    make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=40.0)
    assert seconds_of(make_run(dataset, epochs=10, progress_done=30, progress_total=40)) == 25.0


def test_an_extension_has_its_own_epochs_left(dataset: Dataset) -> None:
    first = make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=40.0)
    assert seconds_of(make_run(dataset, epochs=6, continues=first)) == 20.0


@pytest.mark.parametrize("count", [1, 5])
def test_two_queries_do_for_all_of_them(
    dataset: Dataset, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_run(dataset, epochs=4, status=JobStatus.SUCCEEDED, wall_seconds=40.0)
    runs = [make_run(dataset, epochs=4) for _number in range(count)]
    with django_assert_num_queries(2):
        assert list(expected_seconds(runs).values()) == [40.0] * count

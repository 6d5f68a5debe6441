"""Runs side by side: what differs, and which figures are the best."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, make_config, make_transfer_run
from training.choices import JobStatus
from training.models import Dataset, TrainingRun
from training.services import ComparedFigure, ComparisonError, compare_runs
from training.services.comparison import MissingRunsError

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Dataset:
    dataset: Dataset = DatasetFactory.create()
    return dataset


def finished(dataset: Dataset, *, config: dict[str, object] | None = None, **metrics: float) -> TrainingRun:
    run: TrainingRun = TrainingRunFactory.create(
        status=JobStatus.SUCCEEDED, dataset=dataset, config=config or make_config(), metrics=metrics
    )
    return run


def figures_of(*runs: TrainingRun) -> dict[str, ComparedFigure]:
    return {figure.name: figure for figure in compare_runs(numbers=[run.pk for run in runs]).figures}


def test_settings_that_differ_are_told_apart(dataset: Dataset) -> None:
    first = finished(dataset, config=make_config(epochs=2))
    second = finished(dataset, config=make_config(epochs=3))
    settings = {setting.name: setting for setting in compare_runs(numbers=[second.pk, first.pk]).settings}
    assert list(settings)[:3] == ["dataset", "recipe", "epochs"]
    assert (settings["epochs"].values, settings["epochs"].differs) == ((3, 2), True)
    assert (settings["recipe"].values, settings["recipe"].differs) == (("fast", "fast"), False)
    assert [name for name, setting in settings.items() if setting.differs] == ["epochs"]


def test_a_setting_that_a_run_did_not_know_is_none(dataset: Dataset) -> None:
    old = make_config()
    del old["momentum"]
    first, second = finished(dataset, config=old), finished(dataset)
    [momentum] = [it for it in compare_runs(numbers=[first.pk, second.pk]).settings if it.name == "momentum"]
    assert momentum.values == (None, 0.85)
    assert momentum.differs


def test_more_accuracy_and_less_error_are_better(dataset: Dataset) -> None:
    figures = figures_of(
        finished(dataset, accuracy=0.9, ece=0.02),
        finished(dataset, accuracy=0.95, ece=0.01),
        finished(dataset, accuracy=0.95),
    )
    assert figures["accuracy"] == ComparedFigure("accuracy", (0.9, 0.95, 0.95), frozenset({1, 2}))
    assert figures["ece"] == ComparedFigure("ece", (0.02, 0.01, None), frozenset({1}))


def test_where_all_are_equal_none_is_the_best(dataset: Dataset) -> None:
    assert figures_of(finished(dataset, accuracy=0.9), finished(dataset, accuracy=0.9))["accuracy"].best == frozenset()


def test_runs_on_different_images_have_no_best(dataset: Dataset) -> None:
    other = DatasetFactory.create(sha256="1" * 64)
    first, second = finished(dataset, accuracy=0.9), finished(other, accuracy=0.95)
    assert figures_of(first, second)["accuracy"].best == frozenset()
    assert compare_runs(numbers=[first.pk, second.pk]).same_test is False


def test_the_best_validated_epoch_is_one_of_the_last_phase(dataset: Dataset) -> None:
    transfer = make_transfer_run(dataset=dataset)
    transfer.epochs.filter(phase=1).update(validation_accuracy=0.9)
    plain = finished(dataset)
    for epoch, accuracy in ((1, 0.3), (2, 0.7), (3, None)):
        EpochMetricFactory.create(run=plain, epoch=epoch, validation_accuracy=accuracy)
    comparison = compare_runs(numbers=[transfer.pk, plain.pk, TrainingRunFactory.create(dataset=dataset).pk])
    [validated] = [figure for figure in comparison.figures if figure.name == "validation_accuracy"]
    assert validated == ComparedFigure("validation_accuracy", (0.4, 0.7, None), frozenset({1}))
    assert comparison.epochs == (4, 3, 0)


def test_what_the_first_phase_reached_elsewhere_is_not_compared(dataset: Dataset) -> None:
    transfer = make_transfer_run(dataset=dataset)
    transfer.epochs.filter(phase=1).update(validation_accuracy=0.9)
    transfer.epochs.filter(phase=2).delete()
    plain = finished(dataset)
    EpochMetricFactory.create(run=plain, validation_accuracy=0.7)
    comparison = compare_runs(numbers=[transfer.pk, plain.pk])
    [validated] = [figure for figure in comparison.figures if figure.name == "validation_accuracy"]
    assert validated == ComparedFigure("validation_accuracy", (None, 0.7), frozenset())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_and_too_many_are_refused(dataset: Dataset, count: int) -> None:
    numbers = [run.pk for run in TrainingRunFactory.create_batch(count, dataset=dataset)]
    with pytest.raises(ComparisonError, match=f"Choose 2 to 6 different runs to compare; these are {count}."):
        compare_runs(numbers=numbers)


def test_one_run_twice_is_one_run(dataset: Dataset) -> None:
    run = finished(dataset)
    with pytest.raises(ComparisonError, match=r"these are 1\."):
        compare_runs(numbers=[run.pk, run.pk])


def test_runs_that_are_not_there_are_named(dataset: Dataset) -> None:
    with pytest.raises(MissingRunsError) as raised:
        compare_runs(numbers=[finished(dataset).pk, 987654, 987655])
    assert str(raised.value) == "There is no run with this number: 987654, 987655."
    assert raised.value.status == 404


def test_its_number_of_queries_is_constant(dataset: Dataset, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for count, epochs in ((2, 1), (6, 5)):
        runs: list[Any] = [finished(dataset) for _number in range(count)]
        for run in runs:
            for epoch in range(epochs):
                EpochMetricFactory.create(run=run, epoch=epoch + 1)
        with django_assert_num_queries(2):  # the runs, their epochs
            compare_runs(numbers=[run.pk for run in runs])

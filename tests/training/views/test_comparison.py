"""The page of runs side by side, and the numbers that its charts draw."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import DatasetFactory, EpochMetricFactory, TrainingRunFactory, in_state, make_config
from tests.training.people import Person, text_of
from training.choices import JobStatus
from training.models import Dataset, TrainingRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def trainer() -> Person:
    return Person("trainer", username="tara")


@pytest.fixture
def dataset() -> Dataset:
    dataset: Dataset = DatasetFactory.create()
    return dataset


def two_runs(dataset: Dataset, **fields: Any) -> list[TrainingRun]:
    """Return runs that differ in their epochs and accuracies."""
    return [
        TrainingRunFactory.create(
            dataset=dataset,
            config=make_config(epochs=epochs),
            metrics={"accuracy": accuracy},
            **{"status": JobStatus.SUCCEEDED, **fields},
        )
        for epochs, accuracy in ((2, 0.91), (3, 0.93))
    ]


def compare(person: Person, runs: list[TrainingRun], **query: str) -> Any:
    named: dict[str, list[int] | str] = {"run": [run.pk for run in runs], **query}
    return person.get(reverse("run_compare"), named)


def test_it_shows_settings_and_results_side_by_side(trainer: Person, dataset: Dataset) -> None:
    runs = two_runs(dataset)
    response = compare(trainer, runs)
    shown = text_of(response)
    assert f"Run {runs[0].pk} Run {runs[1].pk} State Succeeded Succeeded Test accuracy 91.00% 93.00% the best" in shown
    assert "Epochs (epochs) differs 2 3" in shown
    assert "Differences only (1)" in shown
    assert response.content.decode().count('class="differs"') == 1
    assert "hx-get" not in response.content.decode()


def test_it_can_leave_out_what_is_the_same(trainer: Person, dataset: Dataset) -> None:
    runs = two_runs(dataset)
    response = compare(trainer, runs, differences="only")
    assert [row["label"] for row in response.context["settings_table"]] == ["Epochs"]
    same = TrainingRunFactory.create_batch(2, dataset=dataset)
    assert "The runs have the same settings." in text_of(compare(trainer, same, differences="only"))


def test_its_links_keep_what_the_address_says(trainer: Person, dataset: Dataset) -> None:
    runs = two_runs(dataset)
    response = compare(trainer, runs, status="succeeded", sort="owner", scale="log", smoothing="0.8")
    page = response.content.decode()
    kept = f"?run={runs[0].pk}&amp;run={runs[1].pk}&amp;status=succeeded&amp;sort=owner&amp;scale=log&amp;smoothing=0.8"
    assert f'href="{kept}#settings"' in page
    assert f'href="{kept}&amp;differences=only#settings"' in page
    assert f'href="{reverse("runs")}?status=succeeded&amp;sort=owner"' in page  # the way back to the list


def test_it_warns_where_the_test_images_differ(trainer: Person, dataset: Dataset) -> None:
    warning = "tested on the images of different datasets"
    runs = two_runs(dataset)
    assert warning not in text_of(compare(trainer, runs))
    TrainingRun.objects.filter(pk=runs[0].pk).update(dataset=DatasetFactory.create(sha256="1" * 64))
    shown = text_of(compare(trainer, runs))
    assert warning in shown
    assert "the best" not in shown


def test_it_refreshes_itself_while_a_run_is_alive(trainer: Person, dataset: Dataset) -> None:
    runs = two_runs(dataset, status=JobStatus.RUNNING)
    EpochMetricFactory.create(run=runs[0], epoch=1)
    page = compare(trainer, runs).content.decode()
    assert f'hx-get="{reverse("run_compare")}?run={runs[0].pk}&amp;run={runs[1].pk}"' in page
    assert 'hx-trigger="every 2s"' in page
    assert 'data-epochs="1"' in page
    TrainingRun.objects.update(**in_state(JobStatus.CANCELLED))
    assert "hx-get" not in compare(trainer, runs).content.decode()


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("", 400, "Choose 2 to 6 different runs to compare; these are 0."),
        ("?run=1", 400, "Choose 2 to 6 different runs to compare; these are 1."),
        ("?run=1&run=x%3Cb%3E", 400, "“x<b>” is no number of a run."),
        ("?run=1&run=-2", 400, "“-2” is no number of a run."),
        ("?run=1&run=9999999999999999999999", 400, "“9999999999999999999999” is no number of a run."),
        ("?run=987654&run=987655", 404, "There is no run with this number: 987654, 987655."),
    ],
)
def test_what_cannot_be_compared_is_said(trainer: Person, query: str, status: int, sentence: str) -> None:
    page = trainer.get(reverse("run_compare") + query)
    assert (page.status_code, sentence in text_of(page)) == (status, True)
    assert reverse("runs") in page.content.decode()
    curves = trainer.get(reverse("run_compare_curves") + query)
    assert (curves.status_code, curves.json()) == (status, {"detail": sentence})


def test_the_curves_are_those_of_each_run_in_order(trainer: Person, dataset: Dataset) -> None:
    first, second = two_runs(dataset)
    EpochMetricFactory.create(run=first, epoch=2, train_loss=1.5)
    EpochMetricFactory.create(run=first, epoch=1, train_loss=2.0)
    EpochMetricFactory.create(run=second, epoch=1, train_loss=1.0)
    curves = trainer.get(reverse("run_compare_curves"), {"run": [second.pk, first.pk]}).json()["runs"]
    assert [run["train_loss"] for run in curves] == [[1.0], [2.0, 1.5]]
    assert [run["total_epochs"] for run in curves] == [3, 2]


def test_a_member_without_the_permission_sees_none(dataset: Dataset) -> None:
    person = Person("user")
    for name in ("run_compare", "run_compare_curves"):
        assert person.get(reverse(name)).status_code == 403


def test_its_number_of_queries_is_constant(
    trainer: Person, dataset: Dataset, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (2, 6):
        runs = TrainingRunFactory.create_batch(count, dataset=dataset, status=JobStatus.RUNNING)
        for run in runs:
            EpochMetricFactory.create(run=run, epoch=1)
        # Session, person, two of permissions, the runs, their epochs.
        with django_assert_num_queries(6):
            compare(trainer, runs)
        with django_assert_num_queries(7):  # the points as well
            trainer.get(reverse("run_compare_curves"), {"run": [run.pk for run in runs]})

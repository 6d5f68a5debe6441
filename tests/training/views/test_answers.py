"""The test images behind a cell of the confusion matrix."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.evaluations import make_evaluation, make_tested
from tests.factories import DatasetFactory, ModelVersionFactory, dataset_manifest
from tests.training.people import Person, text_of
from training.models import Dataset, Evaluation, ModelVersion

pytestmark = pytest.mark.django_db

LABELS = [0, 0, 0, 1, 1]
ANSWERS = [0, 1, 1, 1, 0]


@pytest.fixture
def version(artifacts_root: Path) -> ModelVersion:
    version: ModelVersion = ModelVersionFactory.create()
    return version


@pytest.fixture
def dataset(version: ModelVersion, tmp_path: Path) -> Dataset:
    """The dataset on which the version was tested, of five images."""
    return make_tested(tmp_path, name="five", labels=LABELS, version=version)


@pytest.fixture
def person() -> Person:
    return Person("trainer")


def address(version: ModelVersion, label: int, answer: int) -> str:
    return reverse("version_answers", args=[version.pk, label, answer])


def indices(person: Person, version: ModelVersion, label: int, answer: int, **query: str) -> list[int]:
    return [picture.index for picture in person.get(address(version, label, answer), query).context["pictures"]]


def test_who_may_not_see_datasets_sees_none_of_their_images(version: ModelVersion, dataset: Dataset) -> None:
    make_evaluation(version, dataset, answers=ANSWERS)
    person = Person("user")
    assert person.get(address(version, 0, 1)).status_code == 403
    assert "/answers/" not in person.get(reverse("version", args=[version.pk])).content.decode()


def test_a_cell_leads_to_its_images(person: Person, version: ModelVersion, dataset: Dataset) -> None:
    make_evaluation(version, dataset, answers=ANSWERS)
    assert indices(person, version, 0, 1) == [1, 2]
    assert indices(person, version, 1, 0) == [4]
    response = person.get(address(version, 0, 1))
    assert "airplane → automobile" in text_of(response)
    assert "2 images" in text_of(response)
    assert response.content.decode().count('src="data:image/png;base64,') == 2
    assert "There are none" in text_of(person.get(address(version, 2, 2)))


def test_the_matrix_links_cells_that_hold_images(person: Person, version: ModelVersion) -> None:
    page = person.get(reverse("version", args=[version.pk])).content.decode()
    assert address(version, 0, 0) in page
    assert address(version, 0, 1) not in page  # nothing was taken for it


def test_without_the_dataset_it_says_where_to_get_it(person: Person, version: ModelVersion) -> None:
    shown = text_of(person.get(address(version, 0, 0)))
    assert "These images are not on this machine" in shown
    assert f"“{version.manifest['dataset']['name']}”" in shown


def test_without_an_evaluation_it_offers_one(person: Person, version: ModelVersion, dataset: Dataset) -> None:
    page = person.get(address(version, 0, 0)).content.decode()
    assert "Which images these are is not known yet" in page
    assert f'action="{reverse("evaluate", args=[version.pk])}"' in page
    assert "<option>five</option>" in page
    viewer = Person("viewer").get(address(version, 0, 0)).content.decode()
    assert "Which images these are is not known yet" in viewer
    assert "<option>" not in viewer


def test_another_dataset_takes_the_place_of_one_that_was_not_evaluated(
    person: Person, version: ModelVersion, dataset: Dataset
) -> None:
    Dataset.objects.update(sha256="5" * 64)
    dataset.refresh_from_db()
    make_evaluation(version, dataset, answers=ANSWERS)
    assert indices(person, version, 0, 1) == [1, 2]
    assert "These are images of the dataset “five”." in text_of(person.get(address(version, 0, 1)))


def test_an_evaluation_has_cells_of_its_own(person: Person, version: ModelVersion, dataset: Dataset) -> None:
    job = make_evaluation(version, dataset, answers=ANSWERS)
    path = reverse("evaluation_answers", args=[job.pk, 0, 1])
    assert path.replace("/0/1/", "/0/0/") in person.get(reverse("evaluation", args=[job.pk])).content.decode()
    assert [picture.index for picture in person.get(path).context["pictures"]] == [1, 2]
    assert "There are none" in text_of(person.get(reverse("evaluation_answers", args=[job.pk, 2, 2])))
    assert person.get(reverse("evaluation_answers", args=[job.pk, 10, 0])).status_code == 404
    assert Person("user").get(path).status_code == 403
    Evaluation.objects.update(location="")
    assert person.get(path).status_code == 404


def test_a_dataset_with_other_classes_is_none(person: Person, version: ModelVersion) -> None:
    DatasetFactory.create(manifest=dataset_manifest("two", class_keys=["circle", "square"]))
    assert "These images are not on this machine" in text_of(person.get(address(version, 0, 0)))


def test_damaged_files_are_said_to_be_so(
    person: Person, version: ModelVersion, dataset: Dataset, tmp_path: Path
) -> None:
    make_evaluation(version, dataset, answers=ANSWERS)
    (tmp_path / "test_images.npy").unlink()
    response = person.get(address(version, 0, 1))
    assert "The files of the dataset “five” cannot be read." in text_of(response)


def test_they_come_in_pages(
    person: Person, version: ModelVersion, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.views.answers._SHOWN", 1)
    make_evaluation(version, dataset, answers=ANSWERS)
    assert indices(person, version, 0, 1) == [1]
    assert 'href="?page=2"' in person.get(address(version, 0, 1)).content.decode()
    assert indices(person, version, 0, 1, page="2") == [2]
    for page in ("3", "0", "x", "²"):
        assert person.get(address(version, 0, 1), {"page": page}).status_code == 404


def test_there_are_as_many_cells_as_classes(person: Person, version: ModelVersion) -> None:
    assert person.get(address(version, 0, 10)).status_code == 404


def test_its_number_of_queries_is_constant(
    person: Person, version: ModelVersion, dataset: Dataset, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_evaluation(version, dataset, answers=ANSWERS)
    for label, answer in ((0, 1), (1, 0)):
        # Session, person, two of permissions, the version, its evaluation with the dataset.
        with django_assert_num_queries(6):
            person.get(address(version, label, answer))

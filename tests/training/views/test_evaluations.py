"""The pages of evaluations, the form that asks for one, and the map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.evaluations import make_evaluation, make_tested
from tests.factories import EvaluationFactory, ModelVersionFactory, in_state
from tests.training.people import Person, text_of
from training.choices import JobStatus, Reason
from training.models import Dataset, Evaluation, ModelVersion
from training.views.image_map import draw_map

pytestmark = pytest.mark.django_db

LABELS = [0, 0, 1, 1, 1]


@pytest.fixture
def version(artifacts_root: Path) -> ModelVersion:
    version: ModelVersion = ModelVersionFactory.create()
    return version


@pytest.fixture
def dataset(version: ModelVersion, tmp_path: Path) -> Dataset:
    return make_tested(tmp_path, name="five", labels=LABELS, version=version)


@pytest.fixture
def trainer() -> Person:
    return Person("trainer")


def address(job: Evaluation) -> str:
    return reverse("evaluation", args=[job.pk])


def ask(person: Person, version: ModelVersion, **form: str) -> str:
    response = person.post(reverse("evaluate", args=[version.pk]), form)
    assert response.status_code == 302
    return str(response.headers["Location"])


class TestAsking:
    def test_it_is_queued_and_shown(self, trainer: Person, version: ModelVersion, dataset: Dataset) -> None:
        location = ask(trainer, version, dataset="five", with_augmentation="on")
        job = Evaluation.objects.get()
        assert location == address(job)
        assert (job.version, job.dataset, job.owner, job.with_augmentation) == (version, dataset, trainer.user, True)
        assert job.status == JobStatus.QUEUED

    def test_what_cannot_be_is_said_on_the_version(
        self, trainer: Person, version: ModelVersion, dataset: Dataset
    ) -> None:
        EvaluationFactory.create(version=version, dataset=dataset)
        page = reverse("version", args=[version.pk])
        for form, sentence in (
            ({"dataset": "nothing"}, "Choose a dataset."),
            ({}, "Choose a dataset."),
            ({"dataset": "five"}, f"{version} is being evaluated on the dataset “five” already."),
        ):
            assert ask(trainer, version, **form) == page
            assert sentence in text_of(trainer.get(page))
        assert Evaluation.objects.count() == 1

    def test_who_may_not_is_refused(self, version: ModelVersion, dataset: Dataset) -> None:
        for group in ("user", "viewer"):
            person = Person(group)
            assert person.post(reverse("evaluate", args=[version.pk]), {"dataset": "five"}).status_code == 403
            assert "<option>five" not in person.get(reverse("version", args=[version.pk])).content.decode()
        assert "evaluations-title" in Person("viewer").get(reverse("version", args=[version.pk])).content.decode()


class TestPage:
    def test_it_asks_again_until_the_end_and_then_loads_the_figures(
        self, trainer: Person, version: ModelVersion, dataset: Dataset
    ) -> None:
        job = EvaluationFactory.create(
            version=version, dataset=dataset, status=JobStatus.RUNNING, progress_done=1, progress_total=4,
            progress_message="arranging the map",
        )  # fmt: skip
        live = reverse("evaluation_live", args=[job.pk])
        page = trainer.get(live)
        assert f'hx-get="{live}?state=running&amp;history=0"' in page.content.decode()
        assert "Arranging the map" in text_of(page)
        assert "HX-Refresh" not in page.headers
        Evaluation.objects.update(**in_state(JobStatus.SUCCEEDED))
        page = trainer.get(live, {"state": "running"})
        assert (page.headers["HX-Refresh"], "hx-get" in page.content.decode()) == ("true", False)

    def test_what_it_measured_is_shown(self, trainer: Person, version: ModelVersion, dataset: Dataset) -> None:
        job = make_evaluation(version, dataset, answers=LABELS)
        page = text_of(trainer.get(address(job)))
        for title in (
            "Result on the test images",
            "What it sees as alike",
            "Hardest mistakes",
            "Test-time augmentation",
        ):
            assert title in page
        assert f"{job.accuracy:.2%}" in page
        shown = text_of(trainer.get(reverse("version", args=[version.pk])))
        assert "What it sees as alike" in shown

    def test_why_it_failed_is_shown(self, trainer: Person, version: ModelVersion, dataset: Dataset) -> None:
        job = EvaluationFactory.create(
            version=version, dataset=dataset, status=JobStatus.FAILED, reason=Reason.DISK_FULL,
            detail="The disk is full.",
        )  # fmt: skip
        page = trainer.get(address(job)).content.decode()
        assert "The disk is full." in page
        assert f'href="{reverse("version", args=[version.pk])}#evaluations-title"' in page

    def test_it_is_cancelled(self, trainer: Person, version: ModelVersion, dataset: Dataset) -> None:
        job = EvaluationFactory.create(version=version, dataset=dataset, owner=trainer.user)
        cancel = reverse("evaluation_cancel", args=[job.pk])
        assert Person("viewer").post(cancel).status_code == 403
        assert trainer.post(cancel).headers["Location"] == address(job)
        job.refresh_from_db()
        assert job.status == JobStatus.CANCELLED
        trainer.post(cancel)
        assert "has ended already" in text_of(trainer.get(address(job)))

    def test_members_see_neither_page_nor_list(self, version: ModelVersion, dataset: Dataset) -> None:
        job, person = make_evaluation(version, dataset, answers=LABELS), Person("user")
        for name in ("evaluation", "evaluation_live"):
            assert person.get(reverse(name, args=[job.pk])).status_code == 403
        assert "evaluations-title" not in person.get(reverse("version", args=[version.pk])).content.decode()

    def test_its_number_of_queries_is_constant(
        self,
        trainer: Person,
        version: ModelVersion,
        dataset: Dataset,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _more in range(2):
            Evaluation.objects.update(location="")
            job = make_evaluation(version, dataset, answers=LABELS)
            with django_assert_num_queries(6):  # session, person, two of permissions; the job; its history
                trainer.get(address(job))


class TestMap:
    def test_a_path_of_dots_for_each_class(self, version: ModelVersion, dataset: Dataset) -> None:
        first, second, *others = draw_map(
            make_evaluation(version, dataset, answers=LABELS), class_keys=version.class_keys
        )
        assert (first.name, first.count, first.style, first.path) == ("airplane", 2, 0, "M0 600h0M150 450h0")
        assert (second.name, second.count, second.path) == ("automobile", 3, "M300 300h0M450 150h0M600 0h0")
        assert [group.path for group in others] == [""] * 8

    def test_without_files_there_is_none(self, version: ModelVersion, dataset: Dataset) -> None:
        assert draw_map(None, class_keys=version.class_keys) == []
        job = make_evaluation(version, dataset, answers=LABELS)
        (job.path / "map.npz").unlink()
        assert draw_map(job, class_keys=version.class_keys) == []
        np.save(dataset.path / "test_labels.npy", np.zeros(4, dtype=np.int64))
        assert draw_map(make_evaluation(version, dataset, answers=LABELS), class_keys=version.class_keys) == []

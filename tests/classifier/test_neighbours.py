"""The most alike training images: an evaluation keeps what its version sees; pages and programs compare with that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier import activation_maps, neighbours
from classifier.activation_maps import load_explainer
from classifier.models import Prediction
from classifier.neighbours import find_neighbours, has_bank
from tests.api_fixtures import Program, make_token, problem_of
from tests.evaluations import make_evaluation
from tests.factories import DatasetFactory, PredictionFactory, UserFactory
from tests.tiny_model import COLOURS
from training.models import Dataset, Evaluation, ModelVersion
from training.storage import artifacts

pytestmark = pytest.mark.django_db
SHIP, TRUCK, DEER = 8, 9, 4
PER_CLASS = 3


@pytest.fixture(autouse=True)
def _nothing_loaded(artifacts_root: Path) -> None:
    """Packages and banks of each test's own."""
    activation_maps._load.cache_clear()
    neighbours._read.cache_clear()


@pytest.fixture
def dataset(champion: ModelVersion) -> Dataset:
    """Each class's colour three times, the second and third a little darker."""
    dataset: Dataset = DatasetFactory.create(name="colours", sha256="f" * 64, location="datasets/1-1")
    folder = artifacts(dataset.location)
    folder.mkdir(parents=True)
    pictures = np.zeros((10 * PER_CLASS, 32, 32, 3), dtype=np.uint8)
    for index in range(len(pictures)):
        pictures[index] = np.array(COLOURS[index // PER_CLASS]) * (1 - 0.1 * (index % PER_CLASS))
    np.save(folder / "train_images.npy", pictures)
    np.save(folder / "train_labels.npy", np.arange(len(pictures)) // PER_CLASS)
    return dataset


@pytest.fixture
def trainer(champion: ModelVersion) -> User:
    trainer: User = UserFactory.create(groups=["trainer"])
    return trainer


def prediction_of(version: ModelVersion, colour: int, **fields: Any) -> Prediction:
    pixels = np.full((32, 32, 3), COLOURS[colour], dtype=np.uint8).tobytes()
    made: Prediction = PredictionFactory.create(model_version=version, pixels=pixels, **fields)
    return made


def evaluate(version: ModelVersion, dataset: Dataset, *, every: int = 1) -> Evaluation:
    """Keep what a version sees of some training images; the newest evaluation has the files."""
    explainer = load_explainer(version)
    pictures = np.load(artifacts(dataset.location) / "train_images.npy")
    seen = range(0, len(pictures), every)
    Evaluation.objects.update(location="")
    return make_evaluation(
        version, dataset, answers=[0], vectors=[explainer.describe(pictures[index]) for index in seen], seen=seen
    )


def test_the_nearest_come_first_with_their_class(champion: ModelVersion, dataset: Dataset) -> None:
    assert not has_bank(champion)
    evaluate(champion, dataset)
    assert has_bank(champion)
    found = find_neighbours(prediction_of(champion, DEER), count=3)
    assert found is not None
    assert (found.dataset, found.is_own, found.compared) == (dataset, False, 30)
    first = found.nearest[0]
    assert (first.index, first.class_key) == (DEER * PER_CLASS, "deer")
    assert first.similarity == pytest.approx(1, abs=1e-3)
    assert np.array_equal(first.pixels, np.full((32, 32, 3), COLOURS[DEER]))
    assert [each.class_key for each in found.nearest] == ["deer"] * 3
    assert [each.index for each in found.nearest] == [12, 13, 14]


def test_a_newer_evaluation_is_used(champion: ModelVersion, dataset: Dataset) -> None:
    made = prediction_of(champion, TRUCK)
    for every in (10, 1):
        evaluate(champion, dataset, every=every)
        found = find_neighbours(made)
        assert found is not None
        assert found.compared == 30 // every


def test_it_says_whether_the_model_learned_from_them(champion: ModelVersion, dataset: Dataset) -> None:
    Dataset.objects.update(sha256=champion.manifest["dataset"]["sha256"])
    dataset.refresh_from_db()
    evaluate(champion, dataset)
    found = find_neighbours(prediction_of(champion, SHIP))
    assert found is not None
    assert found.is_own


def test_without_evaluation_files_or_pixels_there_are_none(champion: ModelVersion, dataset: Dataset) -> None:
    made = prediction_of(champion, SHIP)
    assert find_neighbours(made) is None
    job = evaluate(champion, dataset)
    made.pixels = None
    assert find_neighbours(made) is None
    made.refresh_from_db()
    (artifacts(dataset.location) / "train_labels.npy").unlink()
    assert find_neighbours(made) is None
    neighbours._read.cache_clear()
    (job.path / "bank.npz").write_bytes(b"nonsense")
    assert find_neighbours(made) is None
    Dataset.objects.all().delete()
    assert find_neighbours(made) is None


class TestPage:
    def test_it_is_shown_where_there_is_a_bank_to_who_may_see_the_dataset(
        self, client: Client, champion: ModelVersion, dataset: Dataset, trainer: User
    ) -> None:
        made = prediction_of(champion, DEER, owner=trainer)
        client.force_login(trainer)
        path = f"/history/{made.pk}/neighbours/"
        assert "most alike" not in client.get(f"/history/{made.pk}/").content.decode()
        assert client.get(path).status_code == 404
        evaluate(champion, dataset)
        assert f'hx-get="{path}"' in client.get(f"/history/{made.pk}/").content.decode()
        part = client.get(path, headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in part
        assert part.count('src="data:image/png;base64,') == 6
        assert "Out of 30 training images of “colours”" in part
        assert "The model learned from another dataset." in part
        assert "<html" in client.get(path).content.decode()

    def test_others_are_refused(self, client: Client, champion: ModelVersion, dataset: Dataset, trainer: User) -> None:
        evaluate(champion, dataset)
        reader = UserFactory.create(groups=["user"])
        made = prediction_of(champion, DEER, owner=reader)
        client.force_login(reader)
        assert "most alike" not in client.get(f"/history/{made.pk}/").content.decode()
        assert client.get(f"/history/{made.pk}/neighbours/").status_code == 403
        client.force_login(trainer)
        assert client.get(f"/history/{made.pk}/neighbours/").status_code == 404

    def test_it_costs_three_queries_beside_the_person(
        self,
        client: Client,
        champion: ModelVersion,
        dataset: Dataset,
        trainer: User,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        evaluate(champion, dataset)
        made = prediction_of(champion, DEER, owner=trainer)
        client.force_login(trainer)
        path = f"/history/{made.pk}/neighbours/"
        client.get(path, headers={"HX-Request": "true"})
        for _more in range(2):
            prediction_of(champion, SHIP, owner=trainer)
            # Session, person, two of permissions; the prediction, the evaluation, the dataset's classes.
            with django_assert_num_queries(7):
                client.get(path, headers={"HX-Request": "true"})


class TestApi:
    def test_they_are_listed(self, champion: ModelVersion, dataset: Dataset, trainer: User) -> None:
        program = Program(Client(), make_token(trainer))
        made = prediction_of(champion, DEER, owner=trainer)
        path = f"/api/v1/predictions/{made.pk}/neighbours"
        problem_of(program.get(path), 404)
        evaluate(champion, dataset)
        body = program.get(f"{path}?lang=fr").json()
        assert {key: value for key, value in body.items() if key != "nearest"} == {
            "dataset": "colours",
            "is_own": False,
            "compared": 30,
        }
        assert len(body["nearest"]) == 6
        first = body["nearest"][0]
        assert (first["index"], first["class_key"], first["class_name"]) == (12, "deer", "Cerf")
        assert first["similarity"] == pytest.approx(1, abs=1e-3)

    def test_who_may_not_see_datasets_is_refused(self, program: Program, user: User, champion: ModelVersion) -> None:
        made = prediction_of(champion, DEER, owner=user)
        problem_of(program.get(f"/api/v1/predictions/{made.pk}/neighbours"), 403)

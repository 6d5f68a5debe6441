"""The most alike training images: a bank is made by a command; pages and programs compare with it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier import activation_maps, neighbours
from classifier.models import Prediction
from classifier.neighbours import build_bank, find_neighbours, has_bank
from tests.api_fixtures import Program, make_token, problem_of
from tests.factories import DatasetFactory, PredictionFactory, UserFactory
from tests.tiny_model import COLOURS
from training.models import Dataset, ModelVersion
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


def build(version: ModelVersion, dataset: Dataset, *, images: int = 100) -> int:
    return build_bank(version=version, dataset=dataset, images=images, on_progress=lambda _done, _total: None)


def test_the_nearest_come_first_with_their_class(champion: ModelVersion, dataset: Dataset) -> None:
    assert not has_bank(champion)
    assert build(champion, dataset) == 30
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


def test_a_bank_holds_images_from_the_whole_split(champion: ModelVersion, dataset: Dataset) -> None:
    assert build(champion, dataset, images=4) == 4
    [path] = artifacts("banks").iterdir()
    assert path.name == f"{champion.package_sha256}.npz"
    with np.load(path) as stored:
        assert stored["indices"].tolist() == [0, 9, 19, 29]
    assert list(artifacts(".drafts").iterdir()) == []


def test_a_bank_that_was_made_anew_is_used(champion: ModelVersion, dataset: Dataset) -> None:
    made = prediction_of(champion, TRUCK)
    for images in (4, 30):
        build(champion, dataset, images=images)
        found = find_neighbours(made)
        assert found is not None
        assert found.compared == images


def test_it_says_whether_the_model_learned_from_them(champion: ModelVersion, dataset: Dataset) -> None:
    Dataset.objects.update(sha256=champion.manifest["dataset"]["sha256"])
    dataset.refresh_from_db()
    build(champion, dataset)
    found = find_neighbours(prediction_of(champion, SHIP))
    assert found is not None
    assert found.is_own


def test_without_bank_dataset_or_pixels_there_are_none(champion: ModelVersion, dataset: Dataset) -> None:
    made = prediction_of(champion, SHIP)
    assert find_neighbours(made) is None
    build(champion, dataset)
    made.pixels = None
    assert find_neighbours(made) is None
    made.refresh_from_db()
    (artifacts(dataset.location) / "train_labels.npy").unlink()
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
        build(champion, dataset)
        assert f'hx-get="{path}"' in client.get(f"/history/{made.pk}/").content.decode()
        part = client.get(path, headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in part
        assert part.count('src="data:image/png;base64,') == 6
        assert "Out of 30 training images of “colours”" in part
        assert "The model learned from another dataset." in part
        assert "<html" in client.get(path).content.decode()

    def test_others_are_refused(self, client: Client, champion: ModelVersion, dataset: Dataset, trainer: User) -> None:
        build(champion, dataset)
        reader = UserFactory.create(groups=["user"])
        made = prediction_of(champion, DEER, owner=reader)
        client.force_login(reader)
        assert "most alike" not in client.get(f"/history/{made.pk}/").content.decode()
        assert client.get(f"/history/{made.pk}/neighbours/").status_code == 403
        client.force_login(trainer)
        assert client.get(f"/history/{made.pk}/neighbours/").status_code == 404

    def test_it_costs_two_queries_beside_the_person(
        self,
        client: Client,
        champion: ModelVersion,
        dataset: Dataset,
        trainer: User,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        build(champion, dataset)
        made = prediction_of(champion, DEER, owner=trainer)
        client.force_login(trainer)
        path = f"/history/{made.pk}/neighbours/"
        client.get(path, headers={"HX-Request": "true"})
        for _more in range(2):
            prediction_of(champion, SHIP, owner=trainer)
            with django_assert_num_queries(6):  # session, person, two of permissions; the prediction, the dataset
                client.get(path, headers={"HX-Request": "true"})


class TestApi:
    def test_they_are_listed(self, champion: ModelVersion, dataset: Dataset, trainer: User) -> None:
        program = Program(Client(), make_token(trainer))
        made = prediction_of(champion, DEER, owner=trainer)
        path = f"/api/v1/predictions/{made.pk}/neighbours"
        problem_of(program.get(path), 404)
        build(champion, dataset)
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


class TestCommand:
    def test_it_makes_the_bank_of_the_model_that_answers(self, champion: ModelVersion, dataset: Dataset) -> None:
        output = io.StringIO()
        call_command("build_bank", "colours", "--images", "10", stdout=output)
        assert f"{champion} compares its answers with 10 images of colours from now on." in output.getvalue()
        output = io.StringIO()
        call_command("build_bank", "colours", "--model", str(champion), "--json", stdout=output, stderr=io.StringIO())
        assert json.loads(output.getvalue()) == {"model_version": str(champion), "dataset": "colours", "images": 30}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nothing"], "nothing"),
            (["colours", "--model", "v999"], "v999 names no model version"),
            (["colours", "--images", "0"], "--images is 1 or more"),
        ],
    )
    def test_what_is_asked_wrongly_is_said(self, dataset: Dataset, arguments: list[str], said: str) -> None:
        with pytest.raises(CommandError, match=said):
            call_command("build_bank", *arguments)

    def test_without_arrays_it_says_so(self, dataset: Dataset) -> None:
        (artifacts(dataset.location) / "train_images.npy").unlink()
        with pytest.raises(CommandError, match="The bank cannot be made"):
            call_command("build_bank", "colours")

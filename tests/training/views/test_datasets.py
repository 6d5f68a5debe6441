"""The pages of datasets, and their pictures."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from PIL import Image
from pytest_django import DjangoAssertNumQueries

from tests.factories import DatasetFactory, DatasetImportFactory, TrainingRunFactory, check_report, dataset_manifest
from tests.training.people import Person, text_of
from training.choices import JobStatus
from training.engine.recipes import RECIPES
from training.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def trainer() -> Person:
    return Person("trainer")


@pytest.fixture
def drawn(tiny_dataset: Path, artifacts_root: Path) -> Dataset:
    """A dataset whose arrays are really there."""
    manifest = json.loads((tiny_dataset / "manifest.json").read_text())
    made: Dataset = DatasetFactory.create(manifest=manifest, location=str(tiny_dataset))
    return made


def test_the_list_says_how_to_begin(trainer: Person) -> None:
    response = trainer.get(reverse("datasets"))
    assert "There is no dataset yet" in text_of(response)
    assert reverse("import_new") in response.content.decode()


def test_the_list_names_synthetic_data(trainer: Person) -> None:
    DatasetFactory.create(name="drawn")
    assert "drawn synthetic Drawn by the site 200 40 10" in text_of(trainer.get(reverse("datasets")))


def test_the_lists_number_of_queries_is_constant(
    trainer: Person, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 6):
        DatasetFactory.create_batch(count)
        # Session, person, two of permissions, the imports, the count, the page of rows.
        with django_assert_num_queries(7):
            trainer.get(reverse("datasets"))


def test_the_list_shows_imports_that_made_nothing_yet(trainer: Person) -> None:
    DatasetImportFactory.create(name="underway", status=JobStatus.RUNNING, progress_done=1, progress_total=4)
    DatasetImportFactory.create(name="refused", status=JobStatus.FAILED, detail="cat/1.png is no image.")
    DatasetImportFactory.create(name="done", status=JobStatus.SUCCEEDED)
    response = trainer.get(reverse("datasets"))
    assert [job.name for job in response.context["imports"]] == ["refused", "underway"]
    assert "cat/1.png is no image." in text_of(response)
    assert 'hx-trigger="every 2s"' in response.content.decode()


def test_a_dataset_shows_its_classes_and_runs(trainer: Person, drawn: Dataset) -> None:
    run = TrainingRunFactory.create(dataset=drawn)
    response = trainer.get(reverse("dataset", args=[drawn.pk]))
    assert [(row["name"], row["train"], row["test"]) for row in response.context["classes"]][:2] == [
        ("arrow", 20, 4),
        ("circle", 20, 4),
    ]
    shown = text_of(response)
    assert "These are shapes drawn by the site" in shown
    assert drawn.sha256 in shown
    assert f"Run {run.pk}" in shown


def test_entries_that_were_left_out_are_listed(trainer: Person) -> None:
    manifest = dataset_manifest("mine") | {"skipped": [{"entry": "train/cat/<b>.png", "reason": "truncated"}] * 150}
    response = trainer.get(reverse("dataset", args=[DatasetFactory.create(manifest=manifest).pk]))
    assert "150 entries were left out" in text_of(response)
    assert response.content.decode().count("train/cat/&lt;b&gt;.png") == 100


def test_a_dataset_shows_its_faults(trainer: Person) -> None:
    dataset = DatasetFactory.create(checks=check_report("leaky", exact=1, near=198))
    response = trainer.get(reverse("dataset", args=[dataset.pk]))
    assert "1 test image is an exact copy of a training image" in text_of(response)
    assert "198 test images look like training images" in text_of(response)
    assert "Test images among the training images 1 198 0" in text_of(response)
    assert reverse("dataset_accept_copies", args=[dataset.pk]) in response.content.decode()


def test_copies_are_accepted_with_a_button(trainer: Person) -> None:
    dataset = DatasetFactory.create(checks=check_report("leaky", exact=2))
    accept = reverse("dataset_accept_copies", args=[dataset.pk])
    response = trainer.post(accept, follow=True)
    assert "The copies are accepted: runs may use this dataset." in text_of(response)
    assert f"{trainer.user.username} accepted the exact copies across the splits." in text_of(response)
    assert accept not in response.content.decode()
    assert "were accepted already" in text_of(trainer.post(accept, follow=True))


def test_the_button_is_for_those_who_may(trainer: Person) -> None:
    dataset = DatasetFactory.create(checks=check_report("leaky", exact=2))
    accept = reverse("dataset_accept_copies", args=[dataset.pk])
    assert Person("user").post(accept).status_code == 403
    assert trainer.get(accept).status_code == 405
    viewer = Person("user")
    viewer.user.user_permissions.add(Permission.objects.get(codename="view_dataset"))
    assert accept not in viewer.get(reverse("dataset", args=[dataset.pk])).content.decode()
    dataset.refresh_from_db()
    assert dataset.copies_accepted_at is None


def test_a_dataset_that_was_never_checked_says_so(trainer: Person) -> None:
    dataset = DatasetFactory.create(name="old")
    shown = text_of(trainer.get(reverse("dataset", args=[dataset.pk])))
    assert "Its images were never compared. On the command line: manage.py check_dataset old" in shown


def test_the_pictures_of_a_class_come_from_the_arrays(trainer: Person, drawn: Dataset) -> None:
    response = trainer.get(reverse("dataset_sample", args=[drawn.pk, 1]))
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Cache-Control"] == "private, max-age=2592000, immutable"
    with Image.open(BytesIO(response.content)) as strip:
        pixels = np.asarray(strip)
    assert pixels.shape == (32, 8 * 34 - 2, 4)
    images, labels = (np.load(drawn.path / f"train_{name}.npy") for name in ("images", "labels"))
    first, last = np.flatnonzero(labels == 1)[[0, -1]]
    assert np.array_equal(pixels[:, :32, :3], images[first])
    assert np.array_equal(pixels[:, -32:, :3], images[last])
    assert (pixels[:, 32:34, 3] == 0).all()


@pytest.mark.parametrize("class_index", [10, 999])
def test_a_class_that_is_not_there_is_404(trainer: Person, drawn: Dataset, class_index: int) -> None:
    assert trainer.get(reverse("dataset_sample", args=[drawn.pk, class_index])).status_code == 404


def test_pictures_that_are_not_there_are_404(trainer: Person, artifacts_root: Path) -> None:
    assert trainer.get(reverse("dataset_sample", args=[DatasetFactory.create().pk, 0])).status_code == 404


def test_pictures_are_for_trainers(drawn: Dataset) -> None:
    assert Person("user").get(reverse("dataset_sample", args=[drawn.pk, 0])).status_code == 403


def test_the_colours_are_drawn_from_the_arrays(trainer: Person, drawn: Dataset) -> None:
    address = reverse("dataset_histogram", args=[drawn.pk])
    page = trainer.get(reverse("dataset", args=[drawn.pk]))
    assert f'src="{address}"' in page.content.decode()
    assert "200 training images, spread over all of them." in text_of(page)
    response = trainer.get(address)
    assert response.headers["Content-Type"] == "image/svg+xml"
    assert "immutable" in response.headers["Cache-Control"]
    assert response.content.decode().count("<path ") == 3


def test_colours_that_are_not_there_are_404(trainer: Person, artifacts_root: Path) -> None:
    assert trainer.get(reverse("dataset_histogram", args=[DatasetFactory.create().pk])).status_code == 404
    assert trainer.get(reverse("dataset_histogram", args=[987654])).status_code == 404


def test_what_recipes_make_of_its_images_is_shown(trainer: Person, drawn: Dataset) -> None:
    page = trainer.get(reverse("dataset", args=[drawn.pk]))
    shown = text_of(page)
    assert "Fast (Crop padding 2 px, Flip). First row: as stored. Below: the same images in epochs 1 to 3." in shown
    assert "Transfer from STL-10 (Crop padding 4 px, Flip, MixUp 0.5, CutMix 0.5). First row" in shown
    assert "manage.py preview_augmentations" not in shown
    told = "8 training images as they are stored, and below them as the recipe Fast shows them in 3 epochs"
    assert f'alt="{told}"' in page.content.decode()
    for recipe in RECIPES:
        address = reverse("dataset_preview", args=[drawn.pk, recipe])
        assert f'src="{address}"' in page.content.decode()
        response = trainer.get(address)
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Cache-Control"] == "private, max-age=3600"
        assert response.content == (drawn.path / f"augmented-{recipe}.png").read_bytes()
        with Image.open(BytesIO(response.content)) as picture:
            assert picture.size == (270, 142)


def test_a_dataset_from_before_says_how_to_draw_them(trainer: Person, artifacts_root: Path) -> None:
    dataset = DatasetFactory.create(name="old")
    address = reverse("dataset", args=[dataset.pk])
    assert "What a training sees of them" not in text_of(trainer.get(address))  # its files are on another machine
    dataset.path.mkdir(parents=True)
    assert "On the command line: manage.py preview_augmentations --dataset old" in text_of(trainer.get(address))
    assert trainer.get(reverse("dataset_preview", args=[dataset.pk, "fast"])).status_code == 404


@pytest.mark.parametrize("recipe", ["slow", "checks"])
def test_a_recipe_that_is_not_there_is_404(trainer: Person, drawn: Dataset, recipe: str) -> None:
    assert trainer.get(reverse("dataset_preview", args=[drawn.pk, recipe])).status_code == 404


def test_what_recipes_make_is_for_trainers(drawn: Dataset) -> None:
    assert Person("user").get(reverse("dataset_preview", args=[drawn.pk, "fast"])).status_code == 403

"""`manage.py preview_augmentations`: a picture, those of a dataset, or one sentence."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from PIL import Image

from tests.factories import DatasetFactory
from tests.training.engine.tiny_data import write_dataset
from training.engine import preview
from training.engine.recipes import RECIPES
from training.models import Dataset
from training.storage import artifacts


def test_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "draw_preview", lambda *, seed: Image.new("RGB", (seed, 5), "red"))
    output, out = tmp_path / "preview.png", StringIO()
    call_command("preview_augmentations", "--output", str(output), "--seed", "7", stdout=out)
    assert out.getvalue() == f"{output} is drawn.\n"
    with Image.open(output) as image:
        assert (image.format, image.size) == ("PNG", (7, 5))


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"allowed is a file whose name ends in \.png\."):
        call_command("preview_augmentations", "--output", str(tmp_path / "preview.jpg"))


def test_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "draw_preview", lambda *, seed: Image.new("RGB", (5, 5)))
    output = tmp_path / "nowhere" / "preview.png"
    with pytest.raises(CommandError) as caught:
        call_command("preview_augmentations", "--output", str(output))
    assert str(caught.value) == f"{output} cannot be written: No such file or directory."


@pytest.fixture
def colours(artifacts_root: Path, db: None) -> Dataset:
    """A dataset from before its images were drawn."""
    made: Dataset = DatasetFactory.create(name="colours", location="datasets/1-1")
    write_dataset(artifacts(made.location))
    return made


def test_images_of_a_dataset_are_drawn_beside_them(colours: Dataset) -> None:
    out = StringIO()
    call_command("preview_augmentations", "--dataset", "colours", stdout=out)
    assert out.getvalue() == "What each recipe makes of images of colours is drawn; its page shows it.\n"
    assert {path.name for path in colours.path.glob("*.png")} == {f"augmented-{recipe}.png" for recipe in RECIPES}


def test_a_dataset_that_is_not_there_is_named(db: None) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        call_command("preview_augmentations", "--dataset", "nowhere")


def test_damaged_files_are_told(colours: Dataset) -> None:
    (colours.path / "train_images.npy").write_bytes(b"no array")
    with pytest.raises(CommandError, match=r"train_images.npy is not a readable array\."):
        call_command("preview_augmentations", "--dataset", "colours")


def test_it_is_told_what_to_draw() -> None:
    with pytest.raises(CommandError, match="one of the arguments --output --dataset is required"):
        call_command("preview_augmentations")

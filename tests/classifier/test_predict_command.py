"""`manage.py predict`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from cifarsite.accounts.models import User
from classifier.models import Original, Prediction
from tests.tiny_model import picture
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db: None) -> User:
    User.objects.create(username="first-but-plain")
    return User.objects.create(username="root", is_superuser=True)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "deer.png", tmp_path / "notes.txt", tmp_path / "dog.jpg", tmp_path / "missing.png", tmp_path]
    paths[0].write_bytes(picture(4))
    paths[1].write_text("no picture")
    paths[2].write_bytes(picture(5, image_format="JPEG"))
    return [str(path) for path in paths]


def run(*arguments: str) -> tuple[str, str, str]:
    """Return standard output, standard error and the closing error."""
    out, err, error = io.StringIO(), io.StringIO(), ""
    try:
        call_command("predict", *arguments, stdout=out, stderr=err)
    except CommandError as raised:
        error, code = str(raised), raised.returncode
        assert code == 1  # most callers expect a refusal, some none
    return out.getvalue(), err.getvalue(), error


def test_a_bad_file_says_why_and_the_others_are_answered(
    administrator: User, champion: ModelVersion, files: list[str]
) -> None:
    out, err, error = run(*files)
    assert [line.rpartition("/")[2].split(" ")[:2] for line in out.splitlines()] == [
        ["deer.png:", "deer"],
        ["dog.jpg:", "dog"],
    ]
    assert len(err.splitlines()) == 3
    assert "notes.txt: This is not a picture" in err
    assert "missing.png: No such file" in err
    assert error == "3 of 5 files could not be classified."
    assert set(Prediction.objects.values_list("owner", "source", "file_name")) == {
        (administrator.pk, "command", "deer.png"),
        (administrator.pk, "command", "dog.jpg"),
    }


def test_json_is_one_list_in_the_apis_shape(administrator: User, champion: ModelVersion, files: list[str]) -> None:
    out, _err, error = run(files[0], files[1], "--json", "--lang", "fr")
    results: list[dict[str, Any]] = json.loads(out)
    assert results[0]["file"] == files[0]
    assert (results[0]["class_id"], results[0]["class_key"], results[0]["class_name"]) == (4, "deer", "Cerf")
    assert list(results[0]["probabilities"])[:2] == ["Avion", "Automobile"]
    assert results[0]["prediction_id"] == Prediction.objects.get().pk
    assert results[1]["file"] == files[1]
    assert results[1]["error"]["code"] == "not_an_image"
    assert error == "1 of 2 files could not be classified."


def test_all_is_well(administrator: User, champion: ModelVersion, files: list[str]) -> None:
    out, err, error = run(files[0])
    assert (out.count("\n"), err, error) == (1, "", "")


def test_the_owner_can_be_named(administrator: User, champion: ModelVersion, files: list[str]) -> None:
    run(files[0], "--user", "first-but-plain")
    assert Prediction.objects.get().owner.username == "first-but-plain"
    assert "no active account named 'nobody'" in run(files[0], "--user", "nobody")[2]


def test_without_an_administrator_it_asks_for_an_owner(champion: ModelVersion, files: list[str]) -> None:
    assert "--user" in run(files[0])[2]


def test_without_a_model_it_says_so(administrator: User, files: list[str]) -> None:
    assert "promoted" in run(*files)[2]
    assert not Prediction.objects.exists()


def test_a_huge_file_is_not_read_whole(
    administrator: User, champion: ModelVersion, tmp_path: Path, settings: Settings
) -> None:
    settings.IMAGE_MAX_BYTES = 1000
    huge = tmp_path / "huge.png"
    with huge.open("wb") as stream:
        stream.truncate(10**12)  # a hole; reading it whole would not end well
    assert "larger than" in run(str(huge))[1]


def test_the_files_are_kept_where_that_is_wanted_and_allowed(
    administrator: User, champion: ModelVersion, files: list[str], settings: Settings
) -> None:
    settings.KEEP_ORIGINALS = True
    run(files[0])
    run(files[2], "--keep")
    kept = Original.objects.get()
    assert (bytes(kept.data), kept.prediction.file_name) == (picture(5, image_format="JPEG"), "dog.jpg")
    settings.KEEP_ORIGINALS = False
    assert run(files[0], "--keep")[2].startswith("This site keeps no original files.")
    assert Prediction.objects.count() == 2

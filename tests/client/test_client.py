"""The client against the real site: pictures, the model, refusals."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from cifarsite_client import Client, Prediction, Refusal, RefusedError
from cifarsite_client.pictures import REQUEST_BYTES, Picture, UnreadableFileError, group
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from classifier.models import Original
from classifier.models import Prediction as Row
from classifier.runner import execute_next_batch
from tests.tiny_model import picture
from training.models import ModelVersion


def test_classifies_a_file(client: Client, champion: ModelVersion, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(picture(0))

    answer = client.predict(path)
    row = Row.objects.get()
    assert answer.prediction_id == row.pk
    assert answer.class_id == row.class_id
    assert answer.confidence == row.confidence
    assert list(answer.probabilities.values()) == row.probabilities
    assert answer.top[0].class_key == answer.class_key == row.class_key
    assert (answer.model_version, answer.model_sha256) == (str(champion), champion.package_sha256)
    assert row.file_name == "red.png"


def test_speaks_french(live_server: LiveServer, champion: ModelVersion) -> None:
    with Client(live_server.url, language="fr") as french:
        names = french.classes()
    assert names[0] == "Avion"


def test_keeps_the_order_where_one_is_no_picture(client: Client, champion: ModelVersion) -> None:
    first, second, third = client.predict_many([picture(0), b"text", picture(1)])

    assert isinstance(first, Prediction)
    assert isinstance(third, Prediction)
    assert (first.class_id, third.class_id) == (0, 1)
    assert isinstance(second, Refusal)
    assert second.code == "not_an_image"


def test_sends_more_than_a_request_may_hold_in_several(client: Client, champion: ModelVersion) -> None:
    answers = list(client.predict_many(picture(0) for _ in range(33)))

    assert len(answers) == 33
    assert Row.objects.count() == 33


def test_describes_the_model(client: Client, champion: ModelVersion) -> None:
    info = client.model_info()

    assert (info.num_classes, info.input_size, info.device) == (10, "32x32x3", "cpu")


def test_says_what_the_site_says(live_server: LiveServer, champion: ModelVersion) -> None:
    with Client(live_server.url, token="wrong") as stranger, pytest.raises(RefusedError) as caught:
        stranger.predict(picture(0))
    assert caught.value.status == 401
    assert caught.value.faults[0].location == "header:Authorization"


def test_waits_in_vain_for_a_model(client: Client) -> None:
    with pytest.raises(RefusedError) as caught:
        client.predict(picture(0))
    assert (caught.value.status, caught.value.code, caught.value.retry_after_seconds) == (503, "model_not_ready", 5.0)


def test_names_a_file_that_is_not_there(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"none\.png cannot be read: No such file or directory"):
        client.predict(tmp_path / "none.png")


def test_cuts_groups_by_size() -> None:
    large = Picture(b"x" * (REQUEST_BYTES - 1), "large")
    small = Picture(b"x", "small")

    groups = list(group([small, large, small, Picture(b"x" * (REQUEST_BYTES + 1), "huge"), small]))
    assert [[member.name for member in members] for members in groups] == [
        ["small", "large"],
        ["small"],
        ["huge"],
        ["small"],
    ]


def test_a_batch_from_archive_to_file(client: Client, champion: ModelVersion, tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as pictures:
        pictures.writestr("airplane/a.png", picture(0))
        pictures.writestr("bird/b.png", b"text")
    submitted = client.submit_batch(archive)
    assert (submitted.status, submitted.total) == ("queued", 2)

    execute_next_batch()
    ended = client.wait_for_batch(submitted.id)
    assert (ended.status, ended.done, ended.has_ended) == ("succeeded", 2, True)
    first, second = client.batch_items(submitted.id)
    assert (first["class_key"], second["error"]["code"]) == ("airplane", "not_an_image")
    assert [job.id for job in client.batches(status="succeeded")] == [submitted.id]

    client.download_batch(submitted.id, tmp_path / "results.jsonl")
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["airplane/a.png", "bird/b.png"]


def test_an_archive_that_is_none(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"text")
    with pytest.raises(RefusedError) as caught:
        client.submit_batch(tmp_path / "a.zip")
    assert caught.value.status == 422


def test_files_are_kept_when_that_is_wanted(client: Client, champion: ModelVersion, settings: Settings) -> None:
    settings.KEEP_ORIGINALS = True
    first = client.predict(picture(0), keep=True)
    client.predict(picture(0))
    [last] = client.predict_many([picture(1)], keep=True)
    assert isinstance(last, Prediction)
    kept = Original.objects.order_by("pk").values_list("pk", flat=True)
    assert list(kept) == [first.prediction_id, last.prediction_id]
    settings.KEEP_ORIGINALS = False
    with pytest.raises(RefusedError, match="keeps no original files"):
        client.predict(picture(0), keep=True)

"""Files that are kept as they came: only by wish, whole or not at all, for their owner alone, and gone when they go."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from cifarsite.accounts.models import User
from classifier import history
from classifier.choices import Source
from classifier.file_names import download_name
from classifier.images import ImageRejected
from classifier.models import Original, Prediction
from classifier.originals import OriginalsNotKeptError, delete_original, find_original
from classifier.services import Upload, classify, classify_many, keep_answers, predict
from tests.api_fixtures import make_user
from tests.factories import OriginalFactory, PredictionFactory
from tests.tiny_model import picture
from training.models import ModelVersion

SHIP = 8
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _keeping(settings: Settings) -> None:
    settings.KEEP_ORIGINALS = True


@pytest.fixture
def page(user: User, client: Client) -> Client:
    """A browser in which `user` is signed in."""
    client.force_login(user)
    return client


def ask(user: User, data: bytes | None = None, *, name: str = "harbour.png", keep: bool = True) -> Prediction:
    upload = Upload(picture(SHIP) if data is None else data, name, keep)
    return predict(owner=user, upload=upload, source=Source.PAGE)


def kept_by(user: User) -> Original:
    original: Original = OriginalFactory.create(prediction__owner=user)
    return original


def text_of(response: Any) -> str:
    """Return what a person reads: no tags, single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- Keeping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_file_is_kept_byte_for_byte_with_its_hash_and_type(
    user: User, champion: ModelVersion, image_format: str
) -> None:
    data = picture(SHIP, image_format=image_format) + b"<script>"
    made = ask(user, data, name="called.bin")
    original = Original.objects.get()
    assert original.prediction_id == made.pk
    assert bytes(original.data) == data
    assert original.sha256 == hashlib.sha256(data).hexdigest()
    assert original.media_type == f"image/{image_format.lower()}"


def test_nothing_is_kept_that_nobody_asked_for(user: User, champion: ModelVersion) -> None:
    ask(user, keep=False)
    assert (Prediction.objects.count(), Original.objects.count()) == (1, 0)


def test_a_site_that_keeps_none_says_so_and_answers_nothing(
    user: User, champion: ModelVersion, settings: Settings
) -> None:
    settings.KEEP_ORIGINALS = False
    with pytest.raises(OriginalsNotKeptError, match="keeps no original files") as caught:
        ask(user)
    assert (caught.value.status, caught.value.location, caught.value.code) == (400, "keep", "not_kept")
    assert not Prediction.objects.exists()


def test_several_are_kept_where_there_are_answers(user: User, champion: ModelVersion) -> None:
    uploads = [Upload(picture(3), "a.png", keep=True), Upload(b"text", "b.png", keep=True)]
    uploads += [Upload(picture(SHIP), "c.png", keep=True), Upload(picture(5), "d.png")]
    answers = classify_many(owner=user, uploads=uploads, source=Source.API)
    keep_answers(answers)
    assert [isinstance(answer, ImageRejected) for answer in answers] == [False, True, False, False]
    kept = Original.objects.order_by("pk").select_related("prediction")
    assert [(row.prediction.file_name, bytes(row.data)) for row in kept] == [
        ("a.png", picture(3)),
        ("c.png", picture(SHIP)),
    ]
    assert Prediction.objects.count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_between_the_two_rows_leaves_neither(
    user: User, champion: ModelVersion, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [Upload(picture(SHIP), f"{number}.png", keep=True) for number in range(count)]
    answers = classify_many(owner=user, uploads=uploads, source=Source.API)

    def fail(original: Original, **_options: object) -> None:
        assert Prediction.objects.filter(pk=original.prediction.pk).exists()
        raise IntegrityError

    monkeypatch.setattr(Original, "save", fail)
    with pytest.raises(IntegrityError):
        keep_answers(answers)
    assert (Prediction.objects.count(), Original.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_both_rows_are_one_transaction(user: User, champion: ModelVersion) -> None:
    answer = classify(owner=user, upload=Upload(picture(SHIP), "a.png", keep=True), source=Source.PAGE)
    with CaptureQueriesContext(connection) as queries:
        keep_answers([answer])
    words = [query["sql"].split()[0].rstrip(";") for query in queries]
    assert words == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


# --- Serving ----------------------------------------------------------------------------------------------------------


def test_it_is_a_download_of_bytes_for_its_owner(page: Client, user: User, champion: ModelVersion) -> None:
    data = picture(SHIP) + b"<script>alert(1)</script>"
    made = ask(user, data, name="page.html")
    response = page.get(f"/history/{made.pk}/original")
    assert (response.status_code, response.content) == (200, data)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="page.html.png"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "private"
    assert response.headers["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    again = page.get(f"/history/{made.pk}/original", headers={"if-none-match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_name_in_any_script_is_quoted(page: Client, user: User, champion: ModelVersion) -> None:
    made = ask(user, name='été "1".png')
    response = page.get(f"/history/{made.pk}/original")
    assert response.headers["Content-Disposition"] == "attachment; filename*=utf-8''%C3%A9t%C3%A9%20%221%22.png"


@pytest.mark.parametrize(
    ("name", "media_type", "sent"),
    [
        ("harbour.png", "image/png", "harbour.png"),
        ("HARBOUR.PNG", "image/png", "HARBOUR.PNG"),
        ("a.jpg", "image/jpeg", "a.jpg"),
        ("a.JPEG", "image/jpeg", "a.JPEG"),
        ("a.jpg", "image/png", "a.jpg.png"),
        ("page.html", "image/gif", "page.html.gif"),
        ("setup.exe", "image/bmp", "setup.exe.bmp"),
        ("png", "image/png", "png.png"),
        ("", "image/webp", "prediction-7.webp"),
        ("x" * 255, "image/png", "x" * 250 + "….png"),
    ],
)
def test_the_name_ends_as_what_the_file_is(name: str, media_type: str, sent: str) -> None:
    assert download_name(name, media_type=media_type, otherwise="prediction-7") == sent


@pytest.mark.parametrize("switch", [True, False])
def test_what_was_kept_stays_its_owners_when_the_site_keeps_no_more(
    page: Client, user: User, settings: Settings, switch: bool
) -> None:
    settings.KEEP_ORIGINALS = switch
    original = kept_by(user)
    assert page.get(f"/history/{original.pk}/original").status_code == 200
    assert "Download the original" in text_of(page.get(f"/history/{original.pk}/"))


def test_without_one_there_is_nothing_to_download_or_to_delete(
    page: Client, user: User, champion: ModelVersion
) -> None:
    made = ask(user, keep=False)
    assert page.get(f"/history/{made.pk}/original").status_code == 404
    assert page.post(f"/history/{made.pk}/original/delete/").status_code == 404
    text = text_of(page.get(f"/history/{made.pk}/"))
    assert "(only a small copy is kept)" in text
    assert "Original file" not in text


def test_nobody_else_finds_it_by_a_service(user: User) -> None:
    original, other = kept_by(user), make_user("bob")
    assert find_original(owner=other, pk=original.pk) is None
    assert delete_original(owner=other, pk=original.pk) is False
    assert find_original(owner=user, pk=original.pk) == original


# --- Pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("switch", "boxes"), [(True, 1), (False, 0)])
def test_the_box_is_there_where_the_site_keeps_originals(
    page: Client, champion: ModelVersion, settings: Settings, switch: bool, boxes: int
) -> None:
    settings.KEEP_ORIGINALS = switch
    assert page.get("/").content.decode().count('name="keep"') == boxes


@pytest.mark.parametrize("path", ["/", "/classify/"])
@pytest.mark.parametrize(("fields", "count"), [({"keep": "1"}, 1), ({}, 0)])
def test_a_ticked_box_keeps_the_file(
    page: Client, champion: ModelVersion, path: str, fields: dict[str, str], count: int
) -> None:
    response = page.post(path, {"file": SimpleUploadedFile("a.png", picture(SHIP)), **fields})
    assert response.status_code == 200
    assert (Prediction.objects.count(), Original.objects.count()) == (1, count)


def test_without_javascript_the_box_stays_ticked(page: Client, champion: ModelVersion) -> None:
    response = page.post("/", {"file": SimpleUploadedFile("a.png", picture(SHIP)), "keep": "1"})
    assert re.search(r'<input type="checkbox"[^>]*name="keep"[^>]*checked', response.content.decode())


def test_a_box_that_is_no_longer_offered_is_answered(page: Client, champion: ModelVersion, settings: Settings) -> None:
    settings.KEEP_ORIGINALS = False
    response = page.post("/classify/", {"file": SimpleUploadedFile("a.png", picture(SHIP)), "keep": "1"})
    assert response.status_code == 400
    assert "This site keeps no original files." in text_of(response)
    assert not Prediction.objects.exists()


def test_the_page_deletes_the_file_alone(page: Client, user: User) -> None:
    original, other = kept_by(user), kept_by(user)
    response = page.post(f"/history/{original.pk}/original/delete/", follow=True)
    assert response.redirect_chain == [(f"/history/{original.pk}/", 302)]
    assert "The original file is deleted. The answer stays." in text_of(response)
    assert Prediction.objects.count() == 2
    assert list(Original.objects.values_list("pk", flat=True)) == [other.pk]


def test_the_page_before_a_deletion_names_the_file(page: Client, user: User) -> None:
    sentence = "The original file goes with them."
    assert sentence in text_of(page.get(f"/history/{kept_by(user).pk}/delete/"))
    without = PredictionFactory.create(owner=user)
    assert sentence not in text_of(page.get(f"/history/{without.pk}/delete/"))


# --- Going ------------------------------------------------------------------------------------------------------------


def test_it_goes_with_its_prediction_and_no_other(user: User) -> None:
    kept = [kept_by(user) for _number in range(3)]
    assert history.delete_predictions(owner=user, keys=[kept[0].pk, kept[1].pk]) == 2
    assert list(Original.objects.values_list("pk", flat=True)) == [kept[2].pk]


def test_it_goes_with_its_owners_account(user: User) -> None:
    kept_by(user)
    other = kept_by(make_user("bob"))
    user.delete()
    assert list(Original.objects.values_list("pk", flat=True)) == [other.pk]


# --- Reading nothing that is not asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/history/", "/history/{}/", "/history/{}/delete/"])
def test_pages_never_read_the_files(page: Client, user: User, champion: ModelVersion, path: str) -> None:
    def ask_page(pk: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get(path.format(pk)).status_code == 200
        assert not any('classifier_original"."data"' in query["sql"] for query in queries)
        return len(queries)

    first = kept_by(user)
    ask_page(first.pk)
    alone = ask_page(first.pk)
    for _number in range(5):
        kept_by(user)
    assert ask_page(first.pk) == alone


def test_deletions_of_accounts_never_read_the_files(client: Client, user: User, admin_user: User) -> None:
    kept_by(user)
    client.force_login(admin_user)
    address = f"/admin/accounts/user/{user.pk}/delete/"
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
        assert client.post(address, {"post": "yes"}).status_code == 302
    assert not any('classifier_original"."data"' in query["sql"] for query in queries)
    assert not Original.objects.exists()

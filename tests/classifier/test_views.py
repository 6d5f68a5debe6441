"""The pages about pictures: what they show, to whom, and what they refuse."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from cifarsite.accounts.models import User
from classifier.answers import bars, certainty
from classifier.choices import Source
from classifier.forms import MAX_PICTURES
from classifier.models import Prediction
from classifier.services import set_label
from tests.api_fixtures import make_user
from tests.tiny_model import COLOURS, picture
from training.models import ModelVersion

SHIP = 8


@pytest.fixture
def page(user: User, client: Client) -> Client:
    """A browser in which `user` is signed in."""
    client.force_login(user)
    return client


def make_prediction(owner: User, version: ModelVersion, *, class_id: int = SHIP, **fields: Any) -> Prediction:
    """Save an answer as the predictor would."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), COLOURS[class_id]).save(stream, "JPEG")
    defaults: dict[str, Any] = {
        "source": Source.PAGE,
        "file_name": "harbour.png",
        "width": 640,
        "height": 480,
        "thumbnail": stream.getvalue(),
        "model_sha256": version.package_sha256,
        "class_id": class_id,
        "class_key": version.class_keys[class_id],
        "confidence": 0.91,
        "probabilities": [0.91 if index == class_id else 0.01 for index in range(10)],
        "latency_ms": 3.2,
    }
    return Prediction.objects.create(owner=owner, model_version=version, **(defaults | fields))


def upload(name: str = "harbour.png", data: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, picture(SHIP) if data is None else data)


def ask(page: Client, file: Any, **headers: str) -> Any:
    return page.post("/classify/", {"file": file}, headers=headers)


def text_of(response: Any) -> str:
    """Return what a person reads: no tags, single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- Who may come in -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/", "/history/", "/history/1/", "/history/1/thumbnail.jpg", "/history/1/delete/"])
def test_anonymous_people_are_sent_to_the_login(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/accounts/login/?next={path}"


@pytest.mark.parametrize("path", ["/classify/", "/history/1/label/"])
def test_anonymous_posts_are_sent_to_the_login(client: Client, db: None, path: str) -> None:
    assert client.post(path).headers["Location"] == f"/accounts/login/?next={path}"


@pytest.mark.parametrize("method", ["get", "post", "head", "put", "delete", "patch"])
@pytest.mark.parametrize("path", ["", "thumbnail.jpg", "label/", "delete/"])
def test_what_belongs_to_another_person_does_not_exist(
    page: Client, champion: ModelVersion, path: str, method: str
) -> None:
    theirs = make_prediction(make_user("blaise"), champion)
    response = getattr(page, method)(f"/history/{theirs.pk}/{path}")
    assert response.status_code in {404, 405}
    assert page.get(f"/history/{theirs.pk}/").status_code == 404
    assert Prediction.objects.filter(pk=theirs.pk, label_key="").exists()


@pytest.mark.parametrize("pk", [0, 10**9, 2**63, 10**30])
def test_numbers_that_no_row_has_are_not_found(page: Client, pk: int) -> None:
    for path in ("", "thumbnail.jpg", "delete/"):
        assert page.get(f"/history/{pk}/{path}").status_code == 404


# --- Classify --------------------------------------------------------------------------------------------------------
def test_classify_shows_the_classes_and_the_model(page: Client, champion: ModelVersion) -> None:
    response = page.get("/")
    text = text_of(response)
    assert response.status_code == 200
    assert "The 10 classes it knows airplane automobile bird cat deer dog frog horse ship truck" in text
    assert "Network nearest_colour Looks at 32 × 32 × 3 Parameters 30 Test accuracy 100.00%" in text
    assert "Trained on colours synthetic 100 images" in text


def test_classify_says_when_no_model_answers_yet(page: Client) -> None:
    assert "No model answers yet." in text_of(page.get("/"))


def test_an_answer_has_class_confidence_all_probabilities_and_version(
    page: Client, user: User, champion: ModelVersion
) -> None:
    response = ask(page, upload())
    made = Prediction.objects.get()
    text = text_of(response)
    assert response.status_code == 200
    assert (made.owner, made.source, made.file_name) == (user, Source.PAGE, "harbour.png")
    assert made.class_key == "ship"
    assert response.content.decode().count("<meter") == 10
    assert f"by model v{champion.pk}" in text
    assert "This may be none of these classes" not in text
    assert f"/history/{made.pk}/" in response.content.decode()


def test_a_strange_picture_is_answered_with_a_doubt(page: Client, champion: ModelVersion) -> None:
    assert "This may be none of these classes." in text_of(ask(page, upload(data=picture((90, 90, 90)))))


def test_a_fragment_is_no_whole_page_and_is_not_kept_by_caches(page: Client, champion: ModelVersion) -> None:
    response = ask(page, upload())
    assert "<html" not in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]


def test_what_is_no_picture_is_refused_in_words_and_leaves_nothing(page: Client, champion: ModelVersion) -> None:
    response = ask(page, upload("notes.txt.png", b"this is no picture"))
    assert response.status_code == 415
    assert "notes.txt.png" in text_of(response)
    assert "JPEG" in text_of(response)
    assert not Prediction.objects.exists()


def test_an_empty_file_is_a_picture_that_cannot_be_read(page: Client, champion: ModelVersion) -> None:
    assert ask(page, upload(data=b"")).status_code == 422


def test_a_picture_that_is_too_large_is_refused_by_its_size(
    page: Client, champion: ModelVersion, settings: LazySettings
) -> None:
    settings.IMAGE_MAX_BYTES = 1000
    for size in (1001, 200_000):
        response = ask(page, upload(data=b"x" * size))
        assert response.status_code == 413
        assert "larger than 1000" in text_of(response)


def test_nothing_chosen_is_said_in_words(page: Client, champion: ModelVersion) -> None:
    response = page.post("/classify/")
    assert response.status_code == 400
    assert "Choose a picture first." in text_of(response)


def test_an_upload_that_was_cut_short_is_said_in_words(page: Client, champion: ModelVersion) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture()[:40]
    response = page.post("/classify/", body, content_type="multipart/form-data; boundary=b")
    assert response.status_code == 400
    assert "did not arrive whole" in text_of(response)


def test_without_a_model_the_answer_says_what_to_do(page: Client) -> None:
    response = ask(page, upload())
    assert response.status_code == 503
    assert "No model is ready to answer yet." in text_of(response)


def test_answers_need_the_csrf_token(user: User, champion: ModelVersion) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert ask(strict, upload()).status_code == 403
    assert not Prediction.objects.exists()
    strict.get("/")
    token = strict.cookies["csrftoken"].value
    assert ask(strict, upload(), **{"X-CSRFToken": token}).status_code == 200


def test_without_javascript_several_pictures_are_answered_on_the_page(page: Client, champion: ModelVersion) -> None:
    response = page.post("/", {"file": [upload("one.png"), upload("two.png", b"no picture")]})
    text = text_of(response)
    assert response.status_code == 200
    assert "<html" in response.content.decode()
    assert "one.png" in text
    assert "two.png" in text
    assert Prediction.objects.get().file_name == "one.png"


def test_one_refused_picture_gives_the_page_its_status(page: Client, champion: ModelVersion) -> None:
    assert page.post("/", {"file": upload("a.png", b"no picture")}).status_code == 415


def test_the_number_of_pictures_in_one_form_is_limited(page: Client, champion: ModelVersion) -> None:
    response = page.post("/", {"file": [upload(f"{index}.png") for index in range(MAX_PICTURES + 1)]})
    assert f"Choose at most {MAX_PICTURES} pictures at a time." in text_of(response)
    assert not Prediction.objects.exists()


def test_an_empty_form_asks_for_a_picture(page: Client, champion: ModelVersion) -> None:
    assert "Choose a picture first." in text_of(page.post("/"))


def test_file_names_are_shown_escaped(page: Client, champion: ModelVersion) -> None:
    response = ask(page, upload("<script>alert(1)</script>.png"))
    assert response.status_code == 200
    assert b"<script" not in response.content


def test_answers_speak_french(page: Client, champion: ModelVersion) -> None:
    response = ask(page, upload(), **{"Accept-Language": "fr"})
    text = text_of(response)
    assert "Navire" in text
    assert "99,9\N{NARROW NO-BREAK SPACE}%" in response.content.decode()
    assert "ship" not in text


# --- One prediction --------------------------------------------------------------------------------------------------
def test_the_detail_page_shows_the_whole_answer(page: Client, user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion, out_of_distribution=True)
    text = text_of(page.get(f"/history/{made.pk}/"))
    assert "harbour.png" in text
    assert "ship 91.0% Fairly sure." in text
    assert "This may be none of these classes." in text
    assert champion.package_sha256 in text
    assert "640 × 480 px" in text


def test_the_thumbnail_is_a_jpeg_for_its_owner_only(page: Client, user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion)
    response = page.get(f"/history/{made.pk}/thumbnail.jpg")
    assert response.content == bytes(made.thumbnail)
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"


def test_yes_and_no_store_the_persons_label(page: Client, user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion)
    response = page.post(f"/history/{made.pk}/label/", {"label": "frog"}, headers={"HX-Request": "true"})
    made.refresh_from_db()
    assert made.label_key == "frog"
    assert "You said: frog ." in text_of(response)
    assert "<html" not in response.content.decode()


def test_without_javascript_the_label_leads_back_to_the_page(page: Client, user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion)
    response = page.post(f"/history/{made.pk}/label/", {"label": "ship"}, follow=True)
    assert response.redirect_chain == [(f"/history/{made.pk}/", 302)]
    assert "noted as “ship”" in text_of(response)


def test_a_label_for_an_answer_deleted_meanwhile_is_not_found(
    page: Client, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_prediction(user, champion)

    def set_late(*, prediction: Prediction, label_key: str) -> None:
        Prediction.objects.all().delete()
        set_label(prediction=prediction, label_key=label_key)

    monkeypatch.setattr("classifier.views.set_label", set_late)
    assert page.post(f"/history/{made.pk}/label/", {"label": "frog"}).status_code == 404


@pytest.mark.parametrize("label", ["", "unicorn", "ship\0", "x" * 1000])
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_label_the_model_does_not_know_is_refused(
    page: Client, user: User, champion: ModelVersion, label: str, headers: dict[str, str]
) -> None:
    made = make_prediction(user, champion)
    response = page.post(f"/history/{made.pk}/label/", {"label": label}, headers=headers, follow=True)
    made.refresh_from_db()
    assert response.status_code == 200
    assert made.label_key == ""


def test_deleting_asks_first(page: Client, user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion)
    assert "Delete this prediction?" in text_of(page.get(f"/history/{made.pk}/delete/"))
    assert Prediction.objects.filter(pk=made.pk).exists()
    response = page.post(f"/history/{made.pk}/delete/", follow=True)
    assert not Prediction.objects.exists()
    assert "The prediction and its picture are deleted." in text_of(response)


# --- How an answer is put --------------------------------------------------------------------------------------------
def test_bars_run_from_the_most_to_the_least_probable(user: User, champion: ModelVersion) -> None:
    made = make_prediction(user, champion, probabilities=[0.1, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.8, 0.05])
    chart = bars(made)
    assert [bar.class_key for bar in chart[:4]] == ["ship", "airplane", "automobile", "truck"]
    assert [bar.rank for bar in chart] == list(range(1, 11))


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(1.0, "Very sure"), (0.95, "Very sure"), (0.94, "Fairly sure"), (0.5, "Rather unsure"), (0.49, "Guessing")],
)
def test_confidence_has_words(confidence: float, words: str) -> None:
    assert certainty(confidence) == words


# --- The admin panel -------------------------------------------------------------------------------------------------
def test_staff_see_counts_and_no_pictures(client: Client, champion: ModelVersion, admin_user: User) -> None:
    owner = make_user("blaise")
    made = make_prediction(owner, champion, file_name="secret.png", label_key="ship")
    make_prediction(owner, champion, class_id=3, file_name="secret.png", label_key="ship")
    client.force_login(admin_user)
    response = client.get("/admin/classifier/prediction/")
    text = text_of(response)
    assert "Pictures 2 People 1 Perhaps none of the classes 0 Judged by their owner 2 Judged right 1" in text
    assert "secret.png" not in text
    assert "thumbnail" not in response.content.decode()
    assert client.get(f"/admin/classifier/prediction/{made.pk}/change/").status_code == 404
    assert client.get(f"/history/{made.pk}/thumbnail.jpg").status_code == 404


def test_deleting_an_account_does_not_tell_what_its_pictures_show(
    client: Client, champion: ModelVersion, admin_user: User
) -> None:
    owner = make_user("blaise")
    make_prediction(owner, champion, class_id=3, file_name="secret.png")
    client.force_login(admin_user)
    response = client.get(f"/admin/accounts/user/{owner.pk}/delete/")
    text = text_of(response)
    assert "Summary Users: 1 Objects blaise" in text
    assert "cat" not in text.split()
    assert "secret.png" not in text


def test_counts_are_for_staff_with_the_permission(client: Client, champion: ModelVersion) -> None:
    staff = User.objects.create_user("staff", password="correct horse", is_staff=True)
    client.force_login(staff)
    assert client.get("/admin/classifier/prediction/").status_code == 403

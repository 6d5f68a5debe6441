"""The services: one row for each answer, none for a refusal, and names that harm nobody."""

from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.choices import Source
from classifier.file_names import find_name_fault, harmless_name
from classifier.images import ImageRejected
from classifier.inference import ModelNotReady
from classifier.models import Prediction
from classifier.services import Upload, predict, set_label
from tests.tiny_model import SCALE, picture
from training.exceptions import ServiceError
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def ask(user: User, data: bytes | None = None, *, name: str = "cat.png") -> Prediction:
    return predict(owner=user, upload=Upload(picture(3) if data is None else data, name), source=Source.COMMAND)


def test_the_answer_is_kept_whole(user: User, champion: ModelVersion) -> None:
    made = ask(user, picture(3, size=(200, 100)))
    row = Prediction.objects.get()
    assert row == made
    assert (row.owner, row.source, row.file_name) == (user, "command", "cat.png")
    assert (row.width, row.height) == (200, 100)
    assert (row.class_id, row.class_key, row.out_of_distribution) == (3, "cat", False)
    assert (row.model_version, row.model_sha256) == (champion, champion.package_sha256)
    assert row.confidence == row.probabilities[3] == max(row.probabilities)
    assert sum(row.probabilities) == pytest.approx(1, abs=1e-5)
    assert bytes(row.thumbnail).startswith(b"\xff\xd8")
    assert 0 < row.latency_ms < 60_000
    assert row.label_key == ""


def test_it_takes_one_insert_and_no_other_query(
    user: User, champion: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ask(user)
    with django_assert_num_queries(1):
        made = ask(user)
        assert made.model_version.class_keys[made.class_id] == "cat"


def test_a_foreign_colour_is_marked(user: User, champion: ModelVersion) -> None:
    assert ask(user, picture((170, 170, 170))).out_of_distribution is True


def test_a_refused_picture_leaves_no_row(user: User, champion: ModelVersion) -> None:
    with pytest.raises(ImageRejected) as caught:
        ask(user, b"hello")
    assert caught.value.status == 415
    assert not Prediction.objects.exists()


def test_without_a_model_there_is_no_row(user: User) -> None:
    with pytest.raises(ModelNotReady):
        ask(user)
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("name", ["", "   ", "a\0b.png", "x" * 1001])
def test_a_name_that_is_none_is_refused(user: User, champion: ModelVersion, name: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        ask(user, name=name)
    assert (caught.value.status, caught.value.code) == (400, "bad_file_name")
    assert not Prediction.objects.exists()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("/absolute/cat.png", "cat.png"),
        ("..\\..\\cat.png", "cat.png"),
        ("<script>.png", "<script>.png"),
        ("shell.php.jpg", "shell.php.jpg"),
        ("gpj.\u202egnp.exe", "gpj.gnp.exe"),
        ("tab\there\r\n.png", "tabhere.png"),
        ("été 🐱.png", "été 🐱.png"),
        ("..", ""),
        ("folder/", ""),
        ("x" * 300 + ".png", "x" * 250 + "….png"),
        ("x" * 300, "x" * 254 + "…"),
        ("x" * 10 + "." + "y" * 300, "x" * 10 + "." + "y" * 243 + "…"),
    ],
)
def test_the_stored_name_is_harmless(given: str, stored: str) -> None:
    assert find_name_fault(given) == ""
    assert harmless_name(given) == stored
    assert len(stored) <= 255


def test_a_label_is_one_of_the_models_classes(user: User, champion: ModelVersion) -> None:
    made = ask(user)
    set_label(prediction=made, label_key="dog")
    made.refresh_from_db()
    assert made.label_key == "dog"
    with pytest.raises(ServiceError, match="classes"):
        set_label(prediction=made, label_key="unicorn")
    set_label(prediction=made, label_key="")
    made.refresh_from_db()
    assert made.label_key == ""


def test_a_label_comes_too_late_for_an_answer_that_was_deleted(user: User, champion: ModelVersion) -> None:
    made = ask(user)
    Prediction.objects.all().delete()
    with pytest.raises(Prediction.DoesNotExist):
        set_label(prediction=made, label_key="dog")
    assert not Prediction.objects.exists()


def test_logits_decide_even_where_rounded_probabilities_tie(user: User, champion: ModelVersion) -> None:
    assert SCALE > 0
    made = ask(user, picture((255, 191, 0)))  # between orange and yellow
    assert made.confidence == max(made.probabilities)

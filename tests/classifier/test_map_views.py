"""What the model saw and where it looked, on pages: to whom, for which class, and what is said where there is none."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

import numpy as np
import pytest
from django.test import Client
from PIL import Image
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.activation_maps import draw_activation_map
from classifier.models import Prediction
from tests.api_fixtures import make_user
from tests.factories import PredictionFactory
from training.models import ModelVersion

PIXELS = bytes(range(256)) * 12
IN_PLACE = {"HX-Request": "true"}


@pytest.fixture
def page(user: User, client: Client) -> Client:
    """A browser in which `user` is signed in."""
    client.force_login(user)
    return client


@pytest.fixture
def made(user: User, champion: ModelVersion) -> Prediction:
    made: Prediction = PredictionFactory.create(owner=user, model_version=champion, pixels=PIXELS)
    return made


def words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_what_the_model_saw_is_sent_once_and_to_its_owner(page: Client, made: Prediction) -> None:
    path = f"/history/{made.pk}/seen.png"
    response = page.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")
    assert response.headers["Cache-Control"] == "private, max-age=86400"
    assert response.headers["ETag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'
    shown = np.asarray(Image.open(io.BytesIO(response.content)))
    assert shown.tobytes() == PIXELS
    assert page.get(path, headers={"if-none-match": response.headers["ETag"]}).status_code == 304


def test_the_page_shows_it_beside_the_picture(page: Client, made: Prediction) -> None:
    response = page.get(f"/history/{made.pk}/")
    assert f'src="/history/{made.pk}/seen.png"' in response.content.decode()
    assert "What the model saw 32 × 32 px" in words(response)
    assert f'hx-get="/history/{made.pk}/map/"' in response.content.decode()


def test_an_answer_from_before_it_was_kept_says_so(page: Client, made: Prediction) -> None:
    Prediction.objects.update(pixels=None)
    assert "seen.png" not in page.get(f"/history/{made.pk}/").content.decode()
    assert page.get(f"/history/{made.pk}/seen.png").status_code == 404
    assert page.get(f"/history/{made.pk}/map.png").status_code == 404
    response = page.get(f"/history/{made.pk}/map/")
    assert response.status_code == 200
    assert "What the model saw was not kept with this answer." in words(response)


def test_the_map_is_a_part_of_the_page_or_the_page(page: Client, made: Prediction) -> None:
    whole = page.get(f"/history/{made.pk}/map/")
    part = page.get(f"/history/{made.pk}/map/", headers=IN_PLACE)
    assert "<html" in whole.content.decode()
    assert "<html" not in part.content.decode()
    for response in (whole, part):
        assert "The model decides from 8 × 8 fields. Orange ones add to the score of “cat”" in words(response)
        assert f'src="/history/{made.pk}/map.png?class=cat"' in response.content.decode()
        assert response.content.decode().count('aria-current="true"') == 1
        assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize("class_key", ["ship", "cat"])
def test_each_class_has_its_map(page: Client, made: Prediction, class_key: str) -> None:
    response = page.get(f"/history/{made.pk}/map/?class={class_key}", headers=IN_PLACE)
    assert f"the score of “{class_key}”" in words(response)
    drawing = page.get(f"/history/{made.pk}/map.png?class={class_key}")
    assert (drawing.status_code, drawing.headers["Content-Type"]) == (200, "image/png")
    assert drawing.content == draw_activation_map(made, class_key=class_key)


@pytest.mark.parametrize("path", ["map/", "map.png"])
def test_a_class_that_the_model_does_not_know_is_not_there(page: Client, made: Prediction, path: str) -> None:
    assert page.get(f"/history/{made.pk}/{path}?class=submarine").status_code == 404
    assert page.get(f"/history/{made.pk}/{path}?class=").status_code == 404


@pytest.mark.parametrize("path", ["seen.png", "map/", "map.png"])
def test_other_people_find_nothing(made: Prediction, client: Client, path: str) -> None:
    assert client.get(f"/history/{made.pk}/{path}").headers["Location"].startswith("/accounts/login/")
    client.force_login(make_user("blaise"))
    assert client.get(f"/history/{made.pk}/{path}").status_code == 404
    assert client.get(f"/history/{2**63}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["seen.png", "map/", "map.png"])
def test_each_costs_one_query_beside_the_session(
    page: Client, made: Prediction, django_assert_num_queries: DjangoAssertNumQueries, path: str
) -> None:
    page.get(f"/history/{made.pk}/{path}", headers=IN_PLACE)
    for _more in range(2):
        PredictionFactory.create_batch(3, owner=made.owner, model_version=made.model_version)
        with django_assert_num_queries(3):  # the session, the person, the prediction
            page.get(f"/history/{made.pk}/{path}", headers=IN_PLACE)

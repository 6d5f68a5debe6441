"""What the model saw and where it looked, for programs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.activation_maps import draw_activation_map, make_activation_map
from classifier.models import Prediction
from tests.api_fixtures import Program, problem_of
from tests.factories import PredictionFactory
from tests.tiny_model import head
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
LIST = "/api/v1/predictions"


@pytest.fixture
def made(user: User, champion: ModelVersion) -> Prediction:
    made: Prediction = PredictionFactory.create(owner=user, model_version=champion)
    return made


def test_the_pixels_are_sent_as_they_were(program: Program, made: Prediction) -> None:
    response = program.get(f"{LIST}/{made.pk}/seen")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")
    assert np.asarray(Image.open(io.BytesIO(response.content))).tobytes() == made.pixels
    again = program.get(f"{LIST}/{made.pk}/seen", {"if-none-match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_map_is_told_in_numbers(program: Program, made: Prediction) -> None:
    body = program.get(f"{LIST}/{made.pk}/activation_map?lang=fr").json()
    found = make_activation_map(made)
    assert list(body) == ["model_version", "rows", "columns", "classes"]
    assert body["rows"] == body["columns"] == [2, 6, 10, 14, 18, 22, 26, 30]
    assert [item["class_key"] for item in body["classes"]] == list(found.class_keys)
    cat = body["classes"][3]
    assert (cat["class_id"], cat["class_name"]) == (3, "Chat")
    assert cat["amounts"] == found.fields_of("cat").tolist()
    assert np.sum(cat["amounts"]) + head()["head.bias"][3] == pytest.approx(cat["logit"], abs=1e-4)


def test_the_map_is_drawn_for_the_answer_or_another_class(program: Program, made: Prediction) -> None:
    path = f"{LIST}/{made.pk}/activation_map.png"
    assert program.get(path).content == draw_activation_map(made, class_key="cat")
    response = program.get(f"{path}?class=ship")
    assert (response.status_code, response.content) == (200, draw_activation_map(made, class_key="ship"))


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("class=submarine", 404, "no_map"), ("class=", 400, "blank"), ("klass=cat", 400, "unknown")],
)
def test_what_is_asked_wrongly_is_refused(
    program: Program, made: Prediction, query: str, status: int, code: str
) -> None:
    body = problem_of(program.get(f"{LIST}/{made.pk}/activation_map.png?{query}"), status)
    assert body["errors"][0]["code"] == code


def test_without_pixels_there_is_none_and_it_says_why(program: Program, made: Prediction) -> None:
    Prediction.objects.update(pixels=None)
    problem_of(program.get(f"{LIST}/{made.pk}/seen"), 404)
    for path in ("activation_map", "activation_map.png"):
        body = problem_of(program.get(f"{LIST}/{made.pk}/{path}"), 404)
        assert body["errors"] == [
            {"location": "path", "code": "no_map", "detail": "What the model saw was not kept with this answer."}
        ]


@pytest.mark.parametrize("path", ["seen", "activation_map", "activation_map.png"])
def test_numbers_that_no_row_has_are_not_found(program: Program, path: str) -> None:
    for pk in (1, 10**30):
        problem_of(program.get(f"{LIST}/{pk}/{path}"), 404)


@pytest.mark.parametrize("path", ["seen", "activation_map", "activation_map.png"])
def test_each_costs_one_query_beside_the_token(
    program: Program, made: Prediction, django_assert_num_queries: DjangoAssertNumQueries, path: str
) -> None:
    program.get(f"{LIST}/{made.pk}/{path}")
    for _more in range(2):
        PredictionFactory.create_batch(3, owner=made.owner, model_version=made.model_version)
        with django_assert_num_queries(2):
            program.get(f"{LIST}/{made.pk}/{path}")

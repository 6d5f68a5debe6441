"""Sharing for programs: a link is made once, looked up, told with its prediction, and taken back for good."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.models import Prediction, Share
from tests.api_fixtures import Program, problem_of
from tests.factories import PredictionFactory
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
LIST = "/api/v1/predictions"


@pytest.fixture
def made(user: User, champion: ModelVersion) -> Prediction:
    made: Prediction = PredictionFactory.create(owner=user, model_version=champion)
    return made


def ask(program: Program, method: str, path: str) -> Any:
    return getattr(program.client, method)(path, headers={"authorization": f"Token {program.token}"})


def test_a_link_is_made_once_told_and_opens(program: Program, made: Prediction) -> None:
    path = f"{LIST}/{made.pk}/share"
    first, second = (ask(program, "put", path) for _time in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json() == program.get(path).json()
    assert list(first.json()) == ["url", "created_at"]
    address = first.json()["url"]
    assert address == f"http://testserver/shared/{Share.objects.get().token}/"
    assert program.get(f"{LIST}/{made.pk}").json()["share"] == address
    assert [item["share"] for item in program.get(LIST).json()["results"]] == [address]
    assert Client().get(address).status_code == 200


def test_it_is_taken_back_for_good(program: Program, made: Prediction) -> None:
    path = f"{LIST}/{made.pk}/share"
    address = ask(program, "put", path).json()["url"]
    response = ask(program, "delete", path)
    assert (response.status_code, response.content) == (204, b"")
    assert Client().get(address).status_code == 404
    assert program.get(f"{LIST}/{made.pk}").json()["share"] is None
    problem_of(program.get(path), 404)
    problem_of(ask(program, "delete", path), 404)
    assert ask(program, "put", path).json()["url"] != address


@pytest.mark.parametrize("pk", [1, 10**30])
def test_numbers_that_no_row_has_are_not_found(program: Program, pk: int) -> None:
    for method in ("get", "put", "delete"):
        problem_of(ask(program, method, f"{LIST}/{pk}/share"), 404)


def test_lists_cost_the_same_with_links(
    program: Program, user: User, champion: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 6):
        for row in PredictionFactory.create_batch(count, owner=user, model_version=champion):
            ask(program, "put", f"{LIST}/{row.pk}/share")
        with django_assert_num_queries(4):  # the token, the keys, the rows, the classes
            program.get(LIST)

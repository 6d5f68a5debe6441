"""The Learn page: for everybody, and never out of step with recipes and results."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import DatasetFactory, UserFactory
from training.engine.recipes import RECIPES
from training.engine.recipes.base import NEUTRAL
from training.measured import Measurement
from training.views.learn import draw_chart

STRIPS = re.compile(r'src="/data/(\d+)/sample/(\d)\.png"')


def read(client: Client, **headers: str) -> str:
    response = client.get(reverse("learn"), headers=headers)
    assert response.status_code == 200
    return unescape(response.content.decode())


def test_strangers_may_read_it_and_nothing_is_asked_of_the_database(
    client: Client, db: None, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        html = read(client)
    assert re.findall(r'href="([^"]+)"\s+aria-current="page"', html) == ["/learn/"]
    assert STRIPS.findall(html) == []


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_recipe_is_told_in_its_own_words(client: Client, db: None, recipe: Any) -> None:
    html = read(client)
    for text in (recipe.title, recipe.summary, recipe.source, recipe.measured):
        assert text in html
    different = [name for name, value in recipe.defaults.items() if value != NEUTRAL[name]]
    assert f"Its {len(different)} choices" in html


def test_french_is_complete(client: Client, db: None) -> None:
    html = read(client, accept_language="fr")
    assert "Dix classes, trente-deux pixels" in html
    assert "Un réseau compact d’un demi-million de paramètres" in html
    assert "87,44" in html


@pytest.mark.parametrize("datasets", [1, 4])
def test_photographs_are_those_of_the_newest_cifar10(
    client: Client, db: None, django_assert_num_queries: Any, datasets: int
) -> None:
    photographs = DatasetFactory.create_batch(datasets, synthetic=False)
    DatasetFactory.create(synthetic=True)
    shapes = DatasetFactory.create(synthetic=False)
    shapes.manifest["class_keys"] = ["circle", "square"]
    shapes.save()
    client.force_login(UserFactory.create(groups=["trainer"]))
    with django_assert_num_queries(5):  # session, person, two of permissions, dataset
        html = read(client)
    assert STRIPS.findall(html) == [(str(photographs[-1].pk), str(index)) for index in range(10)]


def test_who_may_not_look_at_data_sees_no_photograph(client: Client, db: None) -> None:
    DatasetFactory.create(synthetic=False)
    client.force_login(UserFactory.create(groups=["user"]))
    assert STRIPS.findall(read(client)) == []


def measurement(seconds: float, accuracy: float, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "lowest": accuracy,
        "highest": accuracy,
        "n": 1,
        "processor": "",
        "threads": 1,
        "precision": "",
    }
    fields |= {"key": "", "images": 1, "command": "", **changes}
    return Measurement(seconds=seconds, accuracy=accuracy, **fields)


def test_the_chart_places_equal_ratios_of_time_at_equal_distances() -> None:
    chart = draw_chart((measurement(100, 0.80), measurement(200, 0.85, lowest=0.84), measurement(400, 0.90)))
    first, second, third = chart.points
    assert second["x"] - first["x"] == pytest.approx(third["x"] - second["x"])
    assert [point["y"] for point in chart.points] == pytest.approx([258, 136, 14])
    assert second["bottom"] == pytest.approx(258 - 0.4 * 244)
    assert [line["accuracy"] for line in chart.lines] == pytest.approx([0.80 + step / 100 for step in range(11)])
    assert [column["seconds"] for column in chart.columns] == [120, 300]

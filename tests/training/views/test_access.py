"""Who sees which page, and who may do what on it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import (
    DatasetFactory,
    DatasetImportFactory,
    EvaluationFactory,
    ModelVersionFactory,
    TrainingRunFactory,
)
from tests.training.people import Person, text_of

pytestmark = pytest.mark.django_db

FOR_USERS = ["versions", "version"]
FOR_TRAINERS = ["runs", "run_new", "run", "run_live", "run_curve", "datasets", "dataset", "import_new"]
FOR_TRAINERS += ["import_detail", "import_live", "evaluation", "evaluation_live"]
FOR_OPERATORS = ["version_promote", "workers", "workers_live"]


@pytest.fixture
def addresses(artifacts_root: object) -> dict[str, str]:
    """Every page by name, with the rows that it shows."""
    keys = {
        "run": TrainingRunFactory.create().pk,
        "version": ModelVersionFactory.create().pk,
        "dataset": DatasetFactory.create().pk,
        "import": DatasetImportFactory.create().pk,
        "evaluation": EvaluationFactory.create().pk,
    }
    plain = {"runs", "run_new", "versions", "datasets", "import_new", "workers", "workers_live"}
    names = FOR_USERS + FOR_TRAINERS + FOR_OPERATORS
    return {name: reverse(name, args=[] if name in plain else [keys[name.partition("_")[0]]]) for name in names}


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        ("user", FOR_USERS),
        ("trainer", FOR_USERS + FOR_TRAINERS),
        ("operator", FOR_USERS + FOR_TRAINERS + FOR_OPERATORS),
        ("administrator", FOR_USERS + FOR_TRAINERS + FOR_OPERATORS),
    ],
)
def test_each_group_sees_its_pages(addresses: dict[str, str], group: str, allowed: list[str]) -> None:
    person = Person(group)
    seen = {name: person.get(address).status_code for name, address in addresses.items()}
    assert seen == {name: 200 if name in allowed else 403 for name in addresses}


def test_strangers_are_sent_to_the_login(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        response = Client().get(address)
        assert (response.status_code, response.headers["Location"]) == (302, f"/accounts/login/?next={address}")


def test_a_fragment_polled_after_the_session_ended_reloads_its_page(addresses: dict[str, str]) -> None:
    response = Client().get(addresses["run_live"], headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Refresh"], response.content) == (204, "true", b"")


@pytest.mark.parametrize("name", ["run_cancel", "import_cancel", "evaluate", "evaluation_cancel"])
def test_what_changes_something_is_never_a_get(addresses: dict[str, str], name: str) -> None:
    assert Person("operator").get(reverse(name, args=[1])).status_code == 405


@pytest.mark.parametrize("name", ["run", "run_live", "run_curve", "version", "dataset", "import_detail", "evaluation"])
@pytest.mark.parametrize("pk", [999_999, 2**63, 10**30])
def test_a_row_that_is_not_there_is_404(name: str, pk: int) -> None:
    assert Person("operator").get(reverse(name, args=[pk])).status_code == 404


def test_the_navigation_shows_what_one_may_see(artifacts_root: object) -> None:
    def links(group: str) -> set[str]:
        page = Person(group).get(reverse("versions")).content.decode()
        return {name for name in ("runs", "versions", "datasets") if f'href="{reverse(name)}"' in page}

    assert links("user") == {"versions"}
    assert links("trainer") == {"runs", "versions", "datasets"}


def test_promote_is_offered_to_operators_alone(addresses: dict[str, str]) -> None:
    assert addresses["version_promote"] not in Person("trainer").get(addresses["version"]).content.decode()
    assert addresses["version_promote"] in Person("operator").get(addresses["version"]).content.decode()


def test_a_refused_page_says_so(addresses: dict[str, str]) -> None:
    response = Person("user").get(addresses["runs"])
    assert response.status_code == 403
    assert "cifarsite" in text_of(response)

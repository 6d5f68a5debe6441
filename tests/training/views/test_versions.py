"""The pages of model versions."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.evaluated import evaluated_manifest
from tests.factories import ModelVersionFactory, TrainingRunFactory
from tests.tiny_model import picture
from tests.training.people import Person, text_of
from training.choices import ModelState
from training.models import ModelVersion, Promotion
from training.views.queries import versions_with_history

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]
SHAPES = ["circle", "square", "star"]


@pytest.fixture
def operator() -> Person:
    return Person("operator", username="olga")


def promote(person: Person, version: ModelVersion, **form: str) -> Any:
    return person.post(reverse("version_promote", args=[version.pk]), form, follow=True)


def test_the_champion_comes_first(operator: Person) -> None:
    champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
    newer = ModelVersionFactory.create()
    response = operator.get(reverse("versions"))
    assert list(response.context["versions"]) == [champion, newer]
    assert f"v{champion.pk} Champion 100.00% colours synthetic fast" in text_of(response)


def test_the_list_says_how_to_get_one(operator: Person) -> None:
    assert "There is no model yet" in text_of(operator.get(reverse("versions")))


def test_the_lists_number_of_queries_is_constant(
    operator: Person, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 6):
        for _row in range(count):
            ModelVersionFactory.create(run=TrainingRunFactory.create())
        with django_assert_num_queries(7):  # session, person, two of permissions, the count, the page, the champion
            operator.get(reverse("versions"))


def test_a_promotion_does_not_fetch_the_manifest_of_the_version_before() -> None:
    first, second = ModelVersionFactory.create_batch(2)
    Promotion.objects.create(version=second, previous=first)
    previous = versions_with_history().get(pk=second.pk).promotions.all()[0].previous
    assert previous == first
    assert previous is not None
    assert previous.get_deferred_fields() == {"manifest"}


def test_a_version_tells_where_it_comes_from(operator: Person) -> None:
    version = ModelVersionFactory.create(run=TrainingRunFactory.create())
    shown = text_of(operator.get(reverse("version", args=[version.pk])))
    assert "colours · 100 training and 10 test images" in shown
    assert version.package_sha256 in shown
    for file in version.manifest["files"].values():
        assert file["sha256"] in shown
    assert f"Run {version.run.pk}" in shown
    assert "It has never been the champion." in shown


def test_a_version_tells_where_it_errs(operator: Person) -> None:
    version = ModelVersionFactory.create(**evaluated_manifest())
    response = operator.get(reverse("version", args=[version.pk]))
    shown = text_of(response)
    assert "Confused most often True class Taken for Images Of its class dog cat 101 10.1%" in shown
    assert "13% to 20%: 16.7% stated, 14.9% right, images: 12" in shown
    assert "Energy in use 58.0% 0.903 94.0% Largest logit 51.7%" in shown
    assert "Images with shuffled squares 58.0% 0.903 51.7% 0.893 45.8% 0.862" in shown
    assert "Mirrored and shifted 6 91.30% 0.86 × 6.1" in shown
    assert "Energy, threshold 10.800" in shown
    assert "cat taken for dog, 99.8% sure" in shown
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', response.content.decode())
    assert [base64.b64decode(text) for text in pictures] == [picture(number) for number in range(8)]


def test_a_mistake_without_its_picture_has_its_number(operator: Person) -> None:
    changes = evaluated_manifest()
    del changes["mistakes"][0]["picture"]
    version = ModelVersionFactory.create(**changes)
    shown = text_of(operator.get(reverse("version", args=[version.pk])))
    assert "Test image 40 cat taken for dog, 99.8% sure" in shown


def test_a_version_of_an_older_package_shows_what_it_has(operator: Person) -> None:
    version = ModelVersionFactory.create()
    shown = text_of(operator.get(reverse("version", args=[version.pk])))
    assert "Largest logit, threshold 10.800" in shown
    assert not [
        title
        for title in ("Confused most often", "How far", "Hardest", "Images of none", "Test-time")
        if title in shown
    ]


def test_a_version_tells_who_promoted_it(operator: Person) -> None:
    old, new = ModelVersionFactory.create(state=ModelState.CHAMPION), ModelVersionFactory.create()
    response = promote(operator, new)
    assert f"v{new.pk} now answers in place of v{old.pk}." in text_of(response)
    assert f"olga made it the champion in place of v{old.pk}" in text_of(response)
    new.refresh_from_db()
    old.refresh_from_db()
    assert (new.state, old.state) == (ModelState.CHAMPION, ModelState.ARCHIVED)
    assert Promotion.objects.get().by == operator.user


def test_the_first_champion_replaces_nobody(operator: Person) -> None:
    version = ModelVersionFactory.create()
    assert f"v{version.pk} now answers." in text_of(promote(operator, version))


def test_the_page_compares_with_the_champion(operator: Person) -> None:
    champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
    worse = ModelVersionFactory.create()
    ModelVersion.objects.filter(pk=worse.pk).update(test_accuracy=0.5)
    response = operator.get(reverse("version_promote", args=[worse.pk]))
    assert f"v{champion.pk}, answers now" in text_of(response)
    assert "50.00% lower" in text_of(response)
    assert "accept_class_change" not in response.content.decode()


def test_other_classes_want_a_second_consent(operator: Person) -> None:
    champion, other = (
        ModelVersionFactory.create(state=ModelState.CHAMPION),
        ModelVersionFactory.create(class_keys=SHAPES),
    )
    assert "accept_class_change" in operator.get(reverse("version_promote", args=[other.pk])).content.decode()
    refused = promote(operator, other)
    assert refused.status_code == 409
    assert "Tick the box to confirm" in text_of(refused)
    champion.refresh_from_db()
    assert champion.state == ModelState.CHAMPION
    promote(operator, other, accept_class_change="on")
    other.refresh_from_db()
    assert other.state == ModelState.CHAMPION


def test_a_damaged_package_is_not_promoted(operator: Person) -> None:
    version = ModelVersionFactory.create()
    (version.path / "weights.safetensors").write_bytes(b"damaged")
    response = promote(operator, version)
    assert response.status_code == 409
    assert f"v{version.pk} cannot be promoted: its files are not those that were registered." in text_of(response)
    assert not Promotion.objects.exists()


def test_the_champion_is_not_promoted_again(operator: Person) -> None:
    champion = ModelVersionFactory.create(state=ModelState.CHAMPION)
    page = text_of(operator.get(reverse("version_promote", args=[champion.pk])))
    assert f"v{champion.pk} is the champion already." in page
    assert promote(operator, champion).status_code == 409


@pytest.mark.parametrize("group", ["user", "trainer"])
def test_only_operators_promote(group: str) -> None:
    version = ModelVersionFactory.create()
    assert promote(Person(group), version).status_code == 403
    version.refresh_from_db()
    assert version.state == ModelState.CANDIDATE

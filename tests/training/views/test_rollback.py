"""Pages of model versions: the reason, the way back, packages in and out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import ModelVersionFactory
from tests.tiny_model import build_package
from tests.training.people import Person, text_of
from training.choices import ModelState
from training.models import ModelVersion, Promotion
from training.services import install_champion, packages, promote_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifacts_root")]


@pytest.fixture
def operator() -> Person:
    return Person("operator", username="olga")


def roll_back(person: Person, champion: object) -> Any:
    return person.post(reverse("version_rollback"), {"champion": str(champion)}, follow=True)


class TestReason:
    def test_the_page_asks_for_it(self, operator: Person) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION)
        worse = ModelVersionFactory.create()
        ModelVersion.objects.filter(pk=worse.pk).update(test_accuracy=0.5)
        address = reverse("version_promote", args=[worse.pk])
        page = operator.get(address)
        assert "is right on 50.00% of the test images" in text_of(page)
        assert "required aria-describedby" in page.content.decode()
        refused = operator.post(address, {"reason": " "})
        assert refused.status_code == 409
        shown = text_of(operator.post(address, {"reason": "It is <small>."}, follow=True))
        assert "olga made it the champion" in shown
        assert "It is <small>." in shown

    def test_it_is_optional_otherwise(self, operator: Person) -> None:
        ModelVersionFactory.create(state=ModelState.CHAMPION)
        page = operator.get(reverse("version_promote", args=[ModelVersionFactory.create().pk]))
        assert "Why it shall answer (optional)" in text_of(page)


class TestRollback:
    def test_one_click(self, operator: Person) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        for version in (old, new):
            promote_version(version=version, by=None)
        for page in (reverse("versions"), reverse("version", args=[new.pk])):
            assert f"Roll back to {old}" in text_of(operator.get(page))
        assert f"Roll back to {old}" not in text_of(operator.get(reverse("version", args=[old.pk])))
        assert f"{old} answers again in place of {new}." in text_of(roll_back(operator, new.pk))
        assert f"olga went back to it in place of {new}" in text_of(operator.get(reverse("version", args=[old.pk])))

    @pytest.mark.parametrize("shown", ["", "x", "0", "9" * 40])
    def test_a_page_that_is_out_of_date(self, operator: Person, shown: str) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        for version in (old, new):
            promote_version(version=version, by=None)
        assert "The champion was changed meanwhile" in text_of(roll_back(operator, shown))
        assert ModelVersion.objects.champion() == new

    def test_it_is_for_operators(self) -> None:
        old, new = ModelVersionFactory.create_batch(2)
        for version in (old, new):
            promote_version(version=version, by=None)
        trainer = Person("trainer")
        assert "Roll back" not in text_of(trainer.get(reverse("versions")))
        assert roll_back(trainer, new.pk).status_code == 403
        assert Person("operator").get(reverse("version_rollback")).status_code == 405
        assert Promotion.objects.count() == 2

    def test_who_did_what_is_told_apart(self, operator: Person) -> None:
        first, second = ModelVersionFactory.create_batch(2)
        install_champion(version=first)
        promote_version(version=second, by=None)
        assert "Made the champion when the site was set up" in text_of(
            operator.get(reverse("version", args=[first.pk]))
        )
        assert f"Made the champion from the command line in place of {first}" in text_of(
            operator.get(reverse("version", args=[second.pk]))
        )


def zip_of(package: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in package.iterdir():
            archive.write(path, path.name)
    return stream.getvalue()


class TestImport:
    ADDRESS = "/models/import/"

    def send(self, person: Client, data: bytes) -> Any:
        return person.post(self.ADDRESS, {"file": SimpleUploadedFile("model.zip", data)}, follow=True)

    def test_a_package_becomes_a_candidate(
        self, operator: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packages, "require_replayed_apart", lambda _package: None)
        data = zip_of(build_package(tmp_path))
        shown = text_of(self.send(operator, data))
        version = ModelVersion.objects.get()
        assert f"The package is model {version} now." in shown
        assert "Imported by olga" in shown
        assert f"The package is model {version} already." in text_of(self.send(operator, data))

    @pytest.mark.parametrize(
        ("data", "status", "sentence"),
        [(b"text", 422, "The package is refused."), (b"", 200, "The file is empty.")],
    )
    def test_a_refusal_is_said_in_the_form(self, operator: Person, data: bytes, status: int, sentence: str) -> None:
        response = self.send(operator, data)
        assert response.status_code == status
        assert sentence in text_of(response)

    def test_a_body_that_is_far_too_large_is_not_read(self, operator: Person, settings: Settings) -> None:
        settings.PACKAGE_MAX_BYTES = 1
        assert "The package is larger than 1" in text_of(self.send(operator, b"x" * 100_000))

    def test_it_is_for_operators(self) -> None:
        trainer = Person("trainer")
        assert trainer.get(self.ADDRESS).status_code == 403
        assert self.send(trainer, b"x").status_code == 403
        assert "Import a model" not in text_of(trainer.get(reverse("versions")))

    def test_a_form_from_elsewhere_is_refused(self, operator: Person) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator.user)
        assert self.send(browser, b"x").status_code == 403

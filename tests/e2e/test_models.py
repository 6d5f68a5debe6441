"""Models in a real browser: a package comes in, answers with a stated reason, goes out again, and the way back."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from tests.e2e.conftest import OpenPage, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, ModelVersionFactory, UserFactory
from tests.tiny_model import build_metrics, build_package
from training.engine.constants import CIFAR10_CLASS_KEYS
from training.models import ModelVersion, Promotion
from training.services import promote_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifacts_root")]

SHOTS = os.environ.get("CIFARSITE_SHOTS", "")
"""Folder for pictures of what the tests see; none are made without it."""


@pytest.fixture
def olga(transactional_db: None) -> User:
    user: User = UserFactory.create(username="olga", groups=["operator"])
    return user


def zip_of(package: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in package.iterdir():
            archive.write(path, path.name)
    return stream.getvalue()


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_a_package_comes_in_answers_and_is_gone_back_from(page: Page, olga: User, tmp_path: Path) -> None:
    old = ModelVersionFactory.create()
    promote_version(version=old, by=None)
    metrics = {**build_metrics(CIFAR10_CLASS_KEYS), "accuracy": 0.9}
    package = build_package(tmp_path, metrics=metrics)
    sign_in(page, "olga", PASSWORD)

    page.goto("/models/")
    page.get_by_role("link", name="Import a model").click()
    shoot(page, "import-desktop")
    file = {"name": "model.zip", "mimeType": "application/zip", "buffer": b"text"}
    page.get_by_label("Package").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("The package is refused.")).to_be_visible()
    shoot(page, "import-refused-desktop")
    file["buffer"] = zip_of(package)
    page.get_by_label("Package").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("The package is model")).to_be_visible()
    version = ModelVersion.objects.get(package_sha256=package.name)
    assert version.imported_by == olga

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"model-{version}.zip"

    page.get_by_role("link", name="Promote…").click()
    expect(page.get_by_text("is right on 90.00% of the test images")).to_be_visible()
    shoot(page, "promote-desktop")
    page.get_by_label("Why it shall answer").fill("It answers twice as fast.")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text(f"{version} now answers in place of {old}.")).to_be_visible()
    expect(page.get_by_text("It answers twice as fast.")).to_be_visible()
    shoot(page, "champion-desktop")

    page.get_by_role("button", name=f"Roll back to {old}").click()
    expect(page.get_by_text(f"{old} answers again in place of {version}.")).to_be_visible()
    assert ModelVersion.objects.champion() == old
    assert Promotion.objects.latest("pk").by == olga
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)  # nothing answered before
    shoot(page, "models-desktop")


@pytest.mark.parametrize(("device", "scheme", "locale"), [("phone", "light", "en-GB"), ("desktop", "dark", "fr-FR")])
def test_the_pages_fit(open_page: OpenPage, olga: User, device: str, scheme: str, locale: str) -> None:
    old, new = ModelVersionFactory.create_batch(2)
    for version in (old, new):
        promote_version(version=version, by=olga, reason="Because " + "it is small, and " * 10)
    ModelVersion.objects.filter(pk=old.pk).update(test_accuracy=0.5)
    size = {"width": 390, "height": 844} if device == "phone" else {"width": 1280, "height": 900}
    page = open_page(viewport=size, color_scheme=scheme, locale=locale)
    sign_in(page, "olga", PASSWORD)
    for path in ("/models/", "/models/import/", f"/models/{new.pk}/", f"/models/{old.pk}/promote/"):
        page.goto(path)
        assert not has_sideways_scroll(page), path
        shoot(page, f"{path.strip('/').replace('/', '-')}-{device}-{scheme}-{locale}")

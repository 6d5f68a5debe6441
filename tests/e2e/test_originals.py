"""Keeping the file itself, in a real browser: a box that is remembered, a download, the deletion of the file alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from classifier.models import Original, Prediction
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import PHONE, OpenPage, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, UserFactory
from tests.tiny_model import picture, register_version
from training.choices import ModelState

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHIP: Final = 8
DATA: Final = picture(SHIP, size=(320, 240))
SHOTS = os.environ.get("CIFARSITE_SHOTS", "")


@pytest.fixture
def ada(transactional_db: None, settings: Any) -> User:
    settings.KEEP_ORIGINALS = True
    register_version(state=ModelState.CHAMPION)
    ada: User = UserFactory.create(username="ada", groups=["user"])
    return ada


def shoot(page: Page, name: str) -> None:
    """Keep what a person would see, where somebody wants to look."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def give(page: Page, name: str) -> None:
    before = page.locator(".answer-class").count()
    page.locator("#id_file").set_input_files({"name": name, "mimeType": "image/png", "buffer": DATA})
    expect(page.locator(".answer-class")).to_have_count(before + 1)


def test_a_file_is_kept_by_wish_downloaded_and_deleted_alone(page: Page, ada: User, tmp_path: Path) -> None:
    sign_in(page, "ada", PASSWORD)
    box = page.get_by_label("Keep the original file")
    expect(box).not_to_be_checked()
    give(page, "forgotten.png")
    box.check()
    shoot(page, "originals-classify")
    give(page, "harbour.png")
    page.reload()
    expect(box).to_be_checked()  # as it was left
    kept = Original.objects.select_related("prediction").get()
    assert (kept.prediction.file_name, bytes(kept.data)) == ("harbour.png", DATA)

    page.goto(f"/history/{kept.pk}/")
    shoot(page, "originals-prediction")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download the original").click()
    started.value.save_as(tmp_path / "downloaded")
    assert started.value.suggested_filename == "harbour.png"
    assert (tmp_path / "downloaded").read_bytes() == DATA

    page.get_by_role("button", name="Delete the original only").click()
    expect(page.get_by_text("The original file is deleted. The answer stays.")).to_be_visible()
    expect(page.get_by_role("link", name="Download the original")).to_have_count(0)
    assert (Prediction.objects.count(), Original.objects.count()) == (2, 0)


def test_it_fits_on_a_telephone_in_the_dark(open_page: OpenPage, ada: User) -> None:
    phone = open_page(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark", locale="fr-FR")
    sign_in(phone, "ada", PASSWORD)
    shoot(phone, "originals-classify-phone-empty")
    phone.locator("#id_keep").check()
    give(phone, "port.png")
    shoot(phone, "originals-classify-phone")
    assert not has_sideways_scroll(phone)
    phone.goto(f"/history/{Original.objects.get().pk}/")
    shoot(phone, "originals-prediction-phone")
    assert not has_sideways_scroll(phone)

"""The history in a real browser: filter by the address, choose by mouse and keyboard, delete after a question."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cifarsite.accounts.models import User
from classifier.answers import HISTORY_PAGE
from classifier.choices import Source
from classifier.models import Prediction
from tests.classifier.test_views import make_prediction
from tests.e2e.conftest import OpenPage, PageLog, has_sideways_scroll, sign_in
from tests.factories import PASSWORD, UserFactory
from tests.tiny_model import register_version
from training.choices import ModelState

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHOTS = os.environ.get("CIFARSITE_SHOTS", "")
ROWS = HISTORY_PAGE + 6


@pytest.fixture
def ada(artifacts_root: Any, transactional_db: None) -> User:
    """Somebody with a page and a bit of answers, every third of which is a ship."""
    version = register_version(state=ModelState.CHAMPION)
    ada: User = UserFactory.create(username="ada")
    for number in range(ROWS):
        class_id = 8 if number % 3 == 0 else number % 10 if number % 10 != 8 else 7
        make_prediction(
            ada,
            version,
            class_id=class_id,
            file_name=f"picture-{number:02}.png",
            confidence=0.99 - number / 60,
            label_key=("ship" if class_id == 8 else "cat") if number % 4 == 0 else "",
            out_of_distribution=number % 7 == 0,
            source=Source.API if number % 5 == 0 else Source.PAGE,
        )
    return ada


def shoot(page: Page, name: str) -> None:
    """Keep what a person would see, where somebody wants to look."""
    if SHOTS:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_days_are_those_of_the_chosen_time_zone(page: Page, ada: User) -> None:
    ada.time_zone = "Pacific/Auckland"
    ada.save()
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/")
    expect(page.get_by_label("Choose this page")).to_be_visible()
    page.get_by_text("Model, way, days, confidence").click()
    page.locator("#id_day_from").fill("2020-01-01")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("zone=Pacific%2FAuckland"))


def test_filters_are_kept_in_the_address_through_pages_and_back(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/")
    expect(page.locator(".history-row")).to_have_count(HISTORY_PAGE)
    shoot(page, "history")
    page.get_by_label("Class").select_option(label="ship")
    page.get_by_label("File name").fill("picture")
    page.get_by_text("Model, way, days, confidence").click()
    page.get_by_label("Confidence from").fill("60")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url("/history/?name=picture&class_key=ship&sure_from=60")
    expect(page.locator(".history-row")).to_have_count(8)
    expect(page.get_by_label("Confidence from")).to_be_visible()
    shoot(page, "history-filtered")
    page.locator(".history-row").first.click()
    page.go_back()
    expect(page.get_by_label("File name")).to_have_value("picture")
    expect(page.locator(".history-row")).to_have_count(8)
    page.locator("#id_day_from").fill("2020-01-31")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**zone=*")
    expect(page.locator(".history-row")).to_have_count(8)
    page.get_by_label("File name").fill("nowhere")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    shoot(page, "history-no-match")
    page.get_by_role("link", name="Show all").first.click()
    expect(page).to_have_url("/history/")


def test_some_are_chosen_and_deleted_after_a_question(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/")
    button = page.get_by_role("button", name="Delete the chosen…")
    expect(button).to_be_disabled()
    page.get_by_role("checkbox", name="Choose picture-29.png").check()
    page.get_by_role("checkbox", name="Choose picture-27.png").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("Chosen: 2")).to_be_visible()
    shoot(page, "history-chosen")
    button.click()
    expect(page.get_by_role("heading", name="Delete 2 predictions?")).to_be_visible()
    assert Prediction.objects.count() == ROWS
    page.get_by_role("link", name="Keep them").click()
    page.get_by_label("Choose this page").check()
    expect(page.get_by_text(f"Chosen: {HISTORY_PAGE}")).to_be_visible()
    button.click()
    shoot(page, "history-delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text(f"{HISTORY_PAGE} predictions are deleted.")).to_be_visible()
    expect(page.locator(".history-row")).to_have_count(ROWS - HISTORY_PAGE)


def test_all_that_match_go_and_the_others_stay(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/?class_key=ship")
    page.get_by_role("button", name="Delete all that match…").click()
    expect(page.get_by_role("heading", name="Delete 10 predictions?")).to_be_visible()
    shoot(page, "history-delete-matching")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page).to_have_url("/history/?class_key=ship")
    expect(page.get_by_text("10 predictions are deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    assert Prediction.objects.count() == ROWS - 10


def test_what_is_filtered_is_what_is_downloaded(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/?class_key=ship&said=right")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    lines = downloading.value.path().read_text().splitlines()
    assert len(lines) == 1 + page.locator(".history-row").count() == 4


def test_the_keyboard_alone_searches_chooses_and_opens(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    page.goto("/history/")
    page.keyboard.press("/")
    expect(page.get_by_label("File name")).to_be_focused()
    page.keyboard.type("picture-1")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/history/?name=picture-1")
    expect(page.locator(".history-row")).to_have_count(10)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("Chosen: 2")).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator(".history-row").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="picture-19.png")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("phone", {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}),
        ("narrow", {"viewport": {"width": 360, "height": 780}, "locale": "fr-FR", "color_scheme": "dark"}),
        ("french", {"locale": "fr-FR"}),
        ("dark", {"color_scheme": "dark"}),
    ],
)
def test_it_fits(open_page: OpenPage, page_log: PageLog, ada: User, name: str, options: dict[str, Any]) -> None:
    page_log.expect("400")  # of the filter that is none
    other = open_page(**options)
    sign_in(other, "ada", PASSWORD)
    other.goto("/history/?sure_from=1")
    expect(other.locator(".history-row")).to_have_count(HISTORY_PAGE)
    assert not has_sideways_scroll(other)
    shoot(other, f"history-{name}")
    other.goto("/history/?sure_from=60&sure_to=50")
    shoot(other, f"history-{name}-refused")
    assert not has_sideways_scroll(other)


def test_without_javascript_it_is_all_there(open_page: OpenPage, ada: User) -> None:
    plain = open_page(java_script_enabled=False)
    sign_in(plain, "ada", PASSWORD)
    plain.goto("/history/")
    plain.get_by_role("checkbox", name="Choose picture-29.png").check()
    plain.get_by_role("button", name="Delete the chosen…").click()
    plain.get_by_role("button", name="Delete", exact=True).click()
    expect(plain.get_by_text("1 prediction is deleted.")).to_be_visible()

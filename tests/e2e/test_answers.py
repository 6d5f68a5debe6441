"""An answer looked at closely, in a real browser: what the model saw, where it looked, and a link for others."""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from cifarsite.accounts.models import User
from classifier.activation_maps import load_explainer
from classifier.models import Prediction, Share
from tests.api_fixtures import _fresh_process
from tests.e2e.conftest import PHONE, OpenPage, PageLog, has_sideways_scroll, sign_in
from tests.evaluations import make_evaluation
from tests.factories import PASSWORD, DatasetFactory, UserFactory
from tests.tiny_model import COLOURS, picture, register_version
from training.choices import ModelState
from training.models import ModelVersion
from training.storage import artifacts

__all__ = ["_fresh_process"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SHOTS = os.environ.get("CIFARSITE_SHOTS", "")
HARBOUR: Final[FilePayload] = {"name": "harbour.png", "mimeType": "image/png", "buffer": picture(8, size=(320, 240))}


@pytest.fixture
def ada(transactional_db: None) -> User:
    register_version(state=ModelState.CHAMPION)
    ada: User = UserFactory.create(username="ada", groups=["user"])
    return ada


def shoot(page: Page, name: str) -> None:
    """Keep what a person would see, where somebody wants to look."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def give(page: Page) -> Locator:
    page.locator("#id_file").set_input_files(HARBOUR)
    answer = page.locator(".answers .answer:not(.is-pending)")
    expect(answer).to_have_count(1)
    return answer


def expect_drawn(image: Locator, *, side: int) -> None:
    expect(image).to_have_js_property("naturalWidth", side)


def press_until_focused(page: Page, target: Locator, *, most: int = 40) -> None:
    """Go on with the tabulator until the target has the focus."""
    for _time in range(most):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"The keyboard does not reach {target}.")


def test_the_answer_shows_what_the_model_saw_and_where_it_looked(page: Page, ada: User) -> None:
    sign_in(page, "ada", PASSWORD)
    answer = give(page)
    expect_drawn(answer.locator(".answer-picture img").nth(1), side=32)
    expect(answer.locator(".map-picture img")).to_have_count(0)  # nothing is computed before somebody asks

    answer.locator(".answer-map summary").click()
    drawing = answer.locator(".map-picture img")
    expect_drawn(drawing, side=256)
    expect(answer.locator(".map [aria-current]")).to_have_text("ship")
    expect(answer.locator(".map-body")).to_contain_text("Orange ones add to the score of “ship”")
    shoot(page, "answers-classify-map")

    answer.get_by_role("link", name="frog").click()
    expect(answer.locator(".map [aria-current]")).to_have_text("frog")
    expect(answer.locator(".map [aria-current]")).to_be_focused()
    expect(drawing).to_have_attribute("src", f"/history/{Prediction.objects.get().pk}/map.png?class=frog")
    expect_drawn(drawing, side=256)
    expect(page).to_have_url("/")


def test_a_link_is_made_opened_by_somebody_else_and_taken_back(
    page: Page, open_page: OpenPage, ada: User, page_log: PageLog
) -> None:
    page_log.expect("status of 404")
    sign_in(page, "ada", PASSWORD)
    give(page).get_by_role("link", name="Permanent page").click()
    expect_drawn(page.locator(".map-picture img"), side=256)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_role("button", name="Stop sharing")).to_be_focused()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    shoot(page, "answers-prediction")
    link = page.locator("#share-link").inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == link

    phone = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    phone.goto(link)
    expect(phone.locator(".answer-class")).to_have_text("ship")
    expect(phone.locator(".bars > li")).to_have_count(10)
    expect_drawn(phone.locator(".answer-picture img"), side=128)
    expect(phone.get_by_text("harbour.png")).to_have_count(0)
    assert not has_sideways_scroll(phone)
    shoot(phone, "answers-shared-phone")

    page.get_by_role("button", name="Stop sharing").click()
    expect(page.get_by_role("button", name="Make a link")).to_be_focused()
    expect(page.get_by_text("The link leads nowhere any more.")).to_be_visible()
    assert not Share.objects.exists()
    phone.goto(link)
    expect(phone.locator(".answer-class")).to_have_count(0)


def test_the_keyboard_is_enough_for_all_of_it(page: Page, ada: User) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(HARBOUR))
    sign_in(page, "ada", PASSWORD)
    press_until_focused(page, page.locator("#id_file"))
    page.keyboard.press("Enter")
    expect(page.locator(".answer-class")).to_have_text("ship")

    press_until_focused(page, page.locator(".answer-map summary"))
    page.keyboard.press("Enter")
    expect_drawn(page.locator(".map-picture img"), side=256)
    press_until_focused(page, page.get_by_role("link", name="frog"))
    page.keyboard.press("Enter")
    expect(page.locator(".map [aria-current]")).to_have_text("frog")
    expect(page.locator(".map [aria-current]")).to_be_focused()

    press_until_focused(page, page.locator(".feedback-other summary"))
    page.keyboard.press("Enter")
    press_until_focused(page, page.get_by_role("button", name="truck"))
    page.keyboard.press("Enter")
    expect(page.locator(".feedback-said")).to_have_text("You said: truck.")
    expect(page.locator(".feedback-said")).to_be_focused()
    assert Prediction.objects.get().label_key == "truck"

    press_until_focused(page, page.get_by_role("link", name="Permanent page"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("harbour.png")
    expect_drawn(page.locator(".map-picture img"), side=256)
    press_until_focused(page, page.get_by_role("button", name="Make a link"), most=60)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop sharing")).to_be_focused()
    expect(page.locator(".htmx-settling, .htmx-added")).to_have_count(0)  # nobody's finger is quicker
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Make a link")).to_be_focused()
    assert not Share.objects.exists()


@pytest.mark.parametrize("who", ["trainer", "user"])
def test_the_most_alike_images_come_with_the_page_for_who_may_see_the_dataset(
    open_page: OpenPage, ada: User, who: str
) -> None:
    dataset = DatasetFactory.create(name="colours", location="datasets/e2e-1")
    folder = artifacts(dataset.location)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "train_images.npy", np.array([np.full((32, 32, 3), each) for each in COLOURS], dtype=np.uint8))
    np.save(folder / "train_labels.npy", np.arange(10))
    version = ModelVersion.objects.champion()
    assert version is not None
    explainer = load_explainer(version)
    vectors = [explainer.describe(np.full((32, 32, 3), each, dtype=np.uint8)) for each in COLOURS]
    make_evaluation(version, dataset, answers=[0], vectors=vectors, seen=range(10))
    UserFactory.create(username="grace", groups=[who])
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    sign_in(page, "grace", PASSWORD)
    give(page).get_by_role("link", name="Permanent page").click()
    expect_drawn(page.locator(".map-picture img"), side=256)
    if who == "user":
        expect(page.locator("#neighbours")).to_have_count(0)
        return
    images = page.locator(".neighbours img")
    expect(images).to_have_count(6)
    expect_drawn(images.first, side=32)
    expect(page.locator(".neighbour-name").first).to_have_text("ship")
    assert not has_sideways_scroll(page)


def test_in_french_and_the_dark_it_fits_on_a_telephone(open_page: OpenPage, ada: User) -> None:
    phone = open_page(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark", locale="fr-FR")
    sign_in(phone, "ada", PASSWORD)
    answer = give(phone)
    answer.locator(".answer-map summary").click()
    expect_drawn(answer.locator(".map-picture img"), side=256)
    expect(answer.locator(".map [aria-current]")).to_have_text("Navire")
    assert not has_sideways_scroll(phone)
    shoot(phone, "answers-classify-phone")
    phone.goto(f"/history/{Prediction.objects.get().pk}/")
    expect_drawn(phone.locator(".map-picture img"), side=256)
    phone.get_by_role("button", name="Créer un lien").click()
    expect(phone.locator("#share-link")).to_be_visible()
    assert not has_sideways_scroll(phone)
    shoot(phone, "answers-prediction-phone")


def test_without_javascript_the_map_has_a_page_of_its_own(open_page: OpenPage, ada: User) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, "ada", PASSWORD)
    page.locator("#id_file").set_input_files(HARBOUR)
    page.locator("main").get_by_role("button", name="Classify").click()
    page.get_by_role("link", name="Permanent page").click()
    page.get_by_role("link", name="Show where the model looked").click()
    page.get_by_role("link", name="frog").click()
    pk = Prediction.objects.get().pk
    expect(page).to_have_url(f"/history/{pk}/map/?class=frog#looked")
    expect_drawn(page.locator(".map-picture img"), side=256)
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_text("Whoever has the link sees the answer now.")).to_be_visible()

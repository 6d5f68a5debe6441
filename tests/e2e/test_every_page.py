"""Every page, as everybody may meet it: accessible, quiet, and no wider than a telephone."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, TABLET, OpenPage, has_sideways_scroll
from tests.e2e.pages import NO_PAGES, PAGES, PageEntry, World, make_world, names_of_addresses
from tests.training.people import prove
from training.choices import JobStatus
from training.models import TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "preload": False,
}  # preloading adds styles, which the page's policy refuses
GRAVE = {"serious", "critical"}
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
STILL = {"reduced_motion": "reduce"}  # colours that are still fading would be measured halfway
MOST_TABS = 80


@pytest.fixture
def world(artifacts_root: Path, tiny_dataset: Path, transactional_db: None) -> World:
    return make_world(str(tiny_dataset))


def open_as(open_page: OpenPage, world: World, who: str, *, locale: str = "en-GB") -> Page:
    """Open a page that has the session of a person of the world."""
    page = open_page(locale=locale, **STILL)
    if (person := world.person(who)) is not None:
        client = Client()
        client.force_login(person)
        prove(client, person)  # some pages ask for it
        name = settings.SESSION_COOKIE_NAME
        cookie = {"name": name, "value": client.cookies[name].value, "domain": "localhost", "path": "/"}
        page.context.add_cookies([cookie])  # type: ignore[list-item]  # a SetCookieParam
    return page


def paint_in(page: Page, theme: Literal["light", "dark"]) -> None:
    """Let the system prefer a theme, and wait until the page has been painted in it."""
    page.emulate_media(color_scheme=theme)
    if page.locator("html[data-theme-choice]").count():  # the admin panel has a theme of its own
        expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")


def find_barriers(page: Page) -> list[str]:
    """Return what axe finds serious or critical, with the first element that it means."""
    found = Axe().run(page, options=AXE_OPTIONS).response["violations"]
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:200]} {violation['nodes'][0]['failureSummary']}"
        for violation in found
        if violation["impact"] in GRAVE
    ]


def test_every_address_is_known() -> None:
    listed = {entry.name for entry in PAGES if ":" not in entry.name}
    known = names_of_addresses()
    assert known - listed - NO_PAGES == set(), "List it in tests/e2e/pages.py, in PAGES or in NO_PAGES."
    assert (listed | NO_PAGES) - known == set()
    assert listed & NO_PAGES == set()


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title or entry.name)
def test_nothing_stands_in_anybodys_way(open_page: OpenPage, world: World, entry: PageEntry) -> None:
    """In light colours on a desktop and in dark ones on a telephone; `open_page` watches its console and network."""
    page = open_as(open_page, world, entry.who)
    path = entry.path(world)
    response = page.goto(path)
    assert response is not None
    assert response.status == 200
    assert page.url.endswith(path) or entry.name == "account_reset_password_from_key", "it led elsewhere"
    barriers = {}
    for theme, size in zip(THEMES, (DESKTOP, PHONE), strict=True):
        paint_in(page, theme)
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a ViewportSize
        barriers[theme] = find_barriers(page)
    assert {look: found for look, found in barriers.items() if found} == {}


@pytest.mark.parametrize("locale", ["en-GB", "fr-FR"])
@pytest.mark.parametrize("who", ["stranger", "user", "operator"])
def test_no_window_is_scrolled_sideways(open_page: OpenPage, world: World, who: str, locale: str) -> None:
    page = open_as(open_page, world, who, locale=locale)
    found = []
    for path in (entry.path(world) for entry in PAGES if entry.who == who and not entry.name.startswith("admin:")):
        page.goto(path)
        for size in (DESKTOP, TABLET, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]  # a ViewportSize
            if has_sideways_scroll(page):
                found.append((path, size["width"]))
    assert found == []
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])


def tab_to(page: Page, label: str) -> None:
    """Press Tab until the element with this name has the focus, as somebody without a pointer does."""
    told = "document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent"
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if label in " ".join(str(page.evaluate(told)).split()):
            return
    pytest.fail(f"{label!r} is not reached by {MOST_TABS} presses of Tab")


def test_a_training_is_launched_by_keyboard_alone(open_page: OpenPage, world: World) -> None:
    page = open_as(open_page, world, "operator")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to(page, "Training")
    page.keyboard.press("Enter")
    page.wait_for_url("**/training/")
    tab_to(page, "New run")
    page.keyboard.press("Enter")
    page.wait_for_url("**/training/new/")
    tab_to(page, "Dataset")
    page.keyboard.type("photographs")
    tab_to(page, "Recipe")
    page.keyboard.type("Accurate")
    expect(page.locator("#recipe-about")).to_contain_text("Recipe accurate")
    tab_to(page, "Epochs")
    page.keyboard.type("3")
    tab_to(page, "Start training")
    page.keyboard.press("Enter")
    page.wait_for_url("**/training/*/")
    expect(page.locator("#run-live")).to_have_attribute("data-state", "queued")
    run = TrainingRun.objects.latest("pk")
    assert (run.status, run.recipe, run.config["epochs"], run.owner) == (
        JobStatus.QUEUED,
        "accurate",
        3,
        world.operator,
    )

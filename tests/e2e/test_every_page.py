"""Every page, as everybody may meet it: accessible, quiet, and no wider than a telephone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, TABLET, OpenPage, has_sideways_scroll
from tests.e2e.pages import NO_PAGES, PAGES, PageEntry, World, make_world, names_of_addresses, session_cookie
from training.choices import JobStatus
from training.models import TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE_OPTIONS: Final = {
    "resultTypes": ["violations"],
    "preload": False,
}  # preloading adds styles, which the page's policy refuses
COLOURS_ALONE: Final = {**AXE_OPTIONS, "runOnly": ["color-contrast", "html-has-lang", "html-lang-valid"]}
"""What other colours and another language can change."""

GRAVE = {"serious", "critical"}
RULES: Final = {"desktop": AXE_OPTIONS, "telephone": COLOURS_ALONE}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "desktop": {"locale": "en-GB", "color_scheme": "light", "viewport": DESKTOP},
    "telephone": {"locale": "fr-FR", "color_scheme": "dark", "viewport": PHONE},
}
STILL = {"reduced_motion": "reduce"}  # colours that are still fading would be measured halfway
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  const { domInteractive } = performance.getEntriesByType("navigation")[0];
  for (const { value, sources, startTime } of list.getEntries()) {
    if (!domInteractive || startTime < domInteractive) continue; // half of the page was not there yet
    window.shifts.push([value, sources.map(({ node }) => (node?.outerHTML ?? "").slice(0, 100)).join(" | ")]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
SEEN_SHIFT = 0.05  # of 0.1, from which on it counts as bad; `bench.first_load` asks for less on a quiet machine
MOST_TABS = 80


@pytest.fixture
def world(artifacts_root: Path, tiny_dataset: Path, transactional_db: None) -> World:
    return make_world(str(tiny_dataset))


def open_as(open_page: OpenPage, world: World, who: str, **look: Any) -> Page:
    """Open a page that has the session of a person of the world; `look` is Playwright's options."""
    page = open_page(**STILL, **look)
    if (person := world.person(who)) is not None:
        cookie = {**session_cookie(person), "domain": "localhost", "path": "/"}
        page.context.add_cookies([cookie])  # type: ignore[list-item]  # a SetCookieParam
    return page


def find_barriers(page: Page, rules: dict[str, Any]) -> list[str]:
    """Return what axe finds serious or critical, with the first element that it means."""
    found = Axe().run(page, options=rules).response["violations"]
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:200]} {violation['nodes'][0]['failureSummary']}"
        for violation in found
        if violation["impact"] in GRAVE
    ]


def find_shifts(page: Page) -> list[str]:
    """Return what moved by itself, when all that moved is enough to be seen."""
    shifts = page.evaluate("window.shifts")
    return (
        [f"{value:.4f} {what}" for value, what in shifts] if sum(value for value, _what in shifts) > SEEN_SHIFT else []
    )


def find_overflow(page: Page) -> list[str]:
    """Return at which widths the window can be scrolled sideways."""
    found = []
    for size in (DESKTOP, TABLET, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a ViewportSize
        page.wait_for_function("width => innerWidth === width", arg=size["width"])
        if has_sideways_scroll(page):
            found.append(f"wider than {size['width']} px")
    return found


def test_every_address_is_known() -> None:
    listed = {entry.name for entry in PAGES if ":" not in entry.name}
    known = names_of_addresses()
    assert known - listed - NO_PAGES == set(), "List it in tests/e2e/pages.py, in PAGES or in NO_PAGES."
    assert (listed | NO_PAGES) - known == set()
    assert listed & NO_PAGES == set()


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title or entry.name)
def test_nothing_stands_in_anybodys_way(open_page: OpenPage, world: World, entry: PageEntry) -> None:
    """In English in light colours on a desktop, in French in dark ones on a telephone; at other widths it fits, too.

    `open_page` watches the console and the network.
    """
    path = entry.path(world)
    problems = {}
    for name, look in LOOKS.items():
        page = open_as(open_page, world, entry.who, **look)
        page.add_init_script(WATCH_SHIFTS)
        response = page.goto(path)
        assert response is not None
        assert response.status == 200
        assert page.url.endswith(path) or entry.name == "account_reset_password_from_key", "it led elsewhere"
        expect(page.locator("html")).to_have_attribute("lang", re.compile(f"^{look['locale'][:2]}"))
        problems[name] = find_barriers(page, RULES[name])
        if not entry.name.startswith("admin:"):  # Django's own pages open their sidebar late, and their tables are wide
            problems[name] += find_shifts(page) + find_overflow(page)
    assert {name: found for name, found in problems.items() if found} == {}


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

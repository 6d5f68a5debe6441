"""A real Chromium in front of the real site. A test fails when its pages log an error or ask another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

# Playwright's sync API runs an event loop in this thread, and Django then refuses the database to be on the safe side.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP = {"width": 1280, "height": 900}
TABLET = {"width": 1000, "height": 760}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 15_000  # other programs may be using the machine

OpenPage = Callable[..., Page]


@dataclass
class PageLog:
    """What the pages of a test complained about. `expect` what a test provokes on purpose."""

    host: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, text: str) -> None:
        """Take complaints that contain `text` for what the test wanted."""
        self.expected.append(text)

    def unexpected(self) -> list[str]:
        return [line for line in self.complaints if not any(text in line for text in self.expected)]

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.netloc != self.host:
            self.complaints.append(f"request to another host: {request.url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; without one the browser tests are skipped."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("No Chromium is installed here, so the tests that drive a browser are skipped.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page_log(live_server: Any) -> Iterator[PageLog]:  # pytest-django's class is private
    """Collects complaints and fails the test on those that it did not expect."""
    log = PageLog(host=urlsplit(live_server.url).netloc)
    yield log
    assert log.unexpected() == []


@pytest.fixture
def open_page(browser: Browser, live_server: Any, page_log: PageLog) -> Iterator[OpenPage]:
    """Return a function that opens a watched page in a browser profile of its own; options are Playwright's."""
    contexts = []

    def open_one(**options: Any) -> Page:
        defaults: dict[str, Any] = {"viewport": DESKTOP, "locale": "en-GB", "color_scheme": "light"}
        context = browser.new_context(base_url=live_server.url, **(defaults | options))
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page_log.watch(page)
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A desktop page in English, with the light theme."""
    return open_page()


@pytest.fixture
def phone(open_page: OpenPage) -> Page:
    """A page as wide as a telephone, with a touch screen."""
    return open_page(viewport=PHONE, has_touch=True, is_mobile=True)


def sign_in(page: Page, username: str, password: str) -> None:
    """Sign in through the login page, as a person does, and arrive on the classify page."""
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(username)
    page.locator("input[name=password]").fill(password)
    page.locator("main button[type=submit]").click()
    expect(page).to_have_url("/")
    page.wait_for_load_state()  # the page's modules have run


def has_sideways_scroll(page: Page) -> bool:
    """Say whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

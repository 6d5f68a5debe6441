"""One load of a page in Chromium with nothing in its cache: what came over the network and what the screen did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "locale": "en-GB"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
        "locale": "fr-FR",
    },
}
"""What is different for people: the width, and with it the language and the colours, so that all are met."""

_PATIENCE_MS: Final = 60_000
_PROBE: Final = """
window.seen = { shift: 0, moved: [], largest: 0, blocked: 0 };
const watch = (type, tell) => {
  new PerformanceObserver((list) => list.getEntries().forEach(tell)).observe({ type, buffered: true });
};
watch("layout-shift", (entry) => {
  if (entry.hadRecentInput) return;
  window.seen.shift += entry.value;
  window.seen.moved.push(...entry.sources.map(({ node }) => (node?.outerHTML ?? node?.nodeName ?? "").slice(0, 80)));
});
watch("largest-contentful-paint", (entry) => { window.seen.largest = entry.startTime; });
watch("longtask", (entry) => { window.seen.blocked += entry.duration - 50; });
"""
_INSPECT: Final = """
() => ({
  ...window.seen,
  lang: document.documentElement.lang,
  title: document.title.trim(),
  description: document.querySelector("meta[name=description]")?.content ?? "",
  viewport: document.querySelector("meta[name=viewport]")?.content ?? "",
  unsized: [...document.images].filter((image) => !image.hasAttribute("width") || !image.hasAttribute("height"))
    .map((image) => image.outerHTML.slice(0, 120)),
})
"""


@dataclass
class PageLoad:
    """What one load was.

    Attributes:
        sent_bytes: Of all answers, heads and compressed bodies, as they came over the network.
        requests: How many there were.
        elsewhere: Addresses on other hosts that were asked.
        errors: What the console called an error, and exceptions that nobody caught.
        layout_shift: The sum of all shifts that nobody caused by typing or pointing; the cumulative layout shift of the
            web vitals is their largest burst, and never more.
        moved: The beginning of what was shifted.
        largest_paint_ms: Until the largest part of the first screen was there.
        blocked_ms: By how much tasks were longer than 50 ms, together.
        lacks: What the document should have and has not: its language, a title, a description, a viewport.
        unsized_images: Pictures whose tags do not say how large they are.
    """

    sent_bytes: int = 0
    requests: int = 0
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    layout_shift: float = 0.0
    moved: list[str] = field(default_factory=list)
    largest_paint_ms: float = 0.0
    blocked_ms: float = 0.0
    lacks: list[str] = field(default_factory=list)
    unsized_images: list[str] = field(default_factory=list)


def load_page(browser: Browser, address: str, *, look: str, cookie: dict[str, str] | None) -> PageLoad:
    """Open a page in a browser profile of its own and wait until nothing more happens on it.

    Args:
        browser: Chromium.
        address: The page's.
        look: One of `LOOKS`.
        cookie: Of the session of whoever looks; None for a stranger.

    Raises:
        AssertionError: the page is not answered with 200.
    """
    context = browser.new_context(**LOOKS[look])
    context.set_default_timeout(_PATIENCE_MS)
    if cookie is not None:
        place = {"domain": str(urlsplit(address).hostname), "path": "/"}
        context.add_cookies([cookie | place])  # type: ignore[list-item]  # a SetCookieParam
    page = context.new_page()
    load = PageLoad()
    _watch_network(page, load, host=urlsplit(address).netloc)
    _watch_errors(page, load)
    page.add_init_script(_PROBE)
    response = page.goto(address)
    assert response is not None, address
    assert response.status == 200, (address, response.status)
    _settle(page, load)
    seen = page.evaluate(_INSPECT)
    context.close()
    load.layout_shift, load.moved = seen["shift"], seen["moved"]
    load.largest_paint_ms, load.blocked_ms = seen["largest"], seen["blocked"]
    load.lacks = [name for name in ("lang", "title", "description", "viewport") if not seen[name]]
    load.unsized_images = seen["unsized"]
    return load


def _settle(page: Page, load: PageLoad) -> None:
    """Wait until the page is idle half a second after its last request: large scripts ask for more once they ran."""
    known = -1
    while known != load.requests:
        known = load.requests
        page.evaluate("new Promise((done) => setTimeout(() => requestIdleCallback(done), 500))")


def _watch_network(page: Page, load: PageLoad, *, host: str) -> None:
    """Count with the browser's own protocol, which alone knows what compressed bodies took on their way."""

    def on_request(event: dict[str, Any]) -> None:
        address = urlsplit(event["request"]["url"])
        if address.scheme in {"data", "blob"}:
            return
        load.requests += 1
        load.sent_bytes += event.get("redirectResponse", {}).get("encodedDataLength", 0)
        if address.netloc != host:
            load.elsewhere.append(address.geturl())

    def on_end(event: dict[str, Any]) -> None:
        load.sent_bytes += event["encodedDataLength"]

    protocol = page.context.new_cdp_session(page)
    protocol.send("Network.enable")
    protocol.on("Network.requestWillBeSent", on_request)
    protocol.on("Network.loadingFinished", on_end)


def _watch_errors(page: Page, load: PageLoad) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            load.errors.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: load.errors.append(str(error)))

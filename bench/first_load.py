"""What a first visit to each page loads, and what the screen does meanwhile.

    python -m bench.first_load [--loads 5] [--only run]

Every page of `tests/e2e/pages.py` and both of the API's documentation are opened in Chromium with nothing in the cache,
as wide as a desktop (English, light) and as a telephone (French, dark). The web server is the one that `manage.py up`
starts, on SQLite, and sends static files as production does: under hashed names, compressed beforehand. Bytes and times
are medians; shifts, errors and requests to other hosts are those of the worst load. Nothing is between server and
browser: times say what the browser works, not what a network adds, and grow with the machine's load, which is noted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from bench.installed import installed
from bench.machine import save_result
from bench.page_loads import LOOKS, PageLoad, load_page
from tests.e2e.conftest import ARGUMENTS, BROWSERS
from tests.installation import ROOT, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.installation import Installation

TARGET_BYTES: Final = 200 * 1024
TARGET_SHIFT: Final = 0.01  # less is not seen
PATIENCE_SECONDS: Final = 60.0
DOCUMENTATION: Final = ("swagger", "redoc")


def draw_dataset(folder: Path) -> None:
    """Draw the dataset whose pictures the pages show."""
    counts = ["--train-per-class", "20", "--test-per-class", "4"]
    command = [sys.executable, "-m", "training.engine", "demo", "--name", "tiny", "--output", str(folder), *counts]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def start_site(installation: Installation) -> str:
    """Collect and compress the static files, start the web server and return its address.

    Raises:
        TimeoutError: it does not answer.
    """
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    environment = {**os.environ, **installation.environment}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    address = f"http://127.0.0.1:{(port := free_port())}"
    server = installation.start_web(port)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/api/v1/health"):  # noqa: S310  # our own site
                return address
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(server.read_log())


def list_pages(dataset: Path) -> dict[str, tuple[str, dict[str, str] | None]]:
    """Fill the database; return each page's path and the cookie of whoever looks at it, under the page's name."""
    from django.urls import reverse  # noqa: PLC0415  # Django is set up by now

    from tests.e2e.pages import PAGES, make_world, session_cookie  # noqa: PLC0415

    world = make_world(str(dataset))
    cookies = {
        who: session_cookie(person) if (person := world.person(who)) else None for who in {page.who for page in PAGES}
    }
    pages = {page.title or page.name: (page.path(world), cookies[page.who]) for page in PAGES}
    return pages | {name: (reverse(name), cookies["user"]) for name in DOCUMENTATION}


def summarise(loads: list[PageLoad]) -> dict[str, Any]:
    """Return the figures of several loads of one page."""
    return {
        "sent_kib": round(statistics.median(load.sent_bytes for load in loads) / 1024, 1),
        "requests": statistics.median_high([load.requests for load in loads]),
        "requests_elsewhere": sorted({address for load in loads for address in load.elsewhere}),
        "layout_shift": round(max(load.layout_shift for load in loads), 4),
        "moved": max(loads, key=lambda load: load.layout_shift).moved,
        "largest_paint_ms": round(statistics.median(load.largest_paint_ms for load in loads)),
        "blocked_ms": round(statistics.median(load.blocked_ms for load in loads)),
        "errors": sorted({error for load in loads for error in load.errors}),
        "lacks": sorted({name for load in loads for name in load.lacks}),
        "unsized_images": sorted({image for load in loads for image in load.unsized_images}),
    }


def find_misses(figures: dict[str, Any]) -> list[str]:
    """Return which targets a page misses."""
    misses = {
        "heavy": figures["sent_kib"] > TARGET_BYTES / 1024,
        "shifts": figures["layout_shift"] >= TARGET_SHIFT,
        "elsewhere": figures["requests_elsewhere"],
        "errors": figures["errors"],
        "lacks": figures["lacks"],
        "unsized": figures["unsized_images"],
    }
    return [name for name, is_missed in misses.items() if is_missed]


def measure(
    browser: Browser, site: str, pages: dict[str, tuple[str, dict[str, str] | None]], *, loads: int
) -> dict[str, Any]:
    """Load every page in every look and print a line for each."""
    print(f"{'page':<44} {'look':<8} {'KiB':>7} {'requests':>8} {'shift':>7} {'largest':>8} {'blocked':>8}")
    rows: dict[str, Any] = {}
    for name, (path, cookie) in pages.items():
        for look in LOOKS:
            done = [load_page(browser, site + path, look=look, cookie=cookie) for _load in range(loads)]
            figures = rows.setdefault(name, {})[look] = summarise(done)
            print(
                f"{name:<44} {look:<8} {figures['sent_kib']:>7.1f} {figures['requests']:>8} "
                f"{figures['layout_shift']:>7.4f} {figures['largest_paint_ms']:>5} ms {figures['blocked_ms']:>5} ms "
                f"{' '.join(find_misses(figures))}",
                flush=True,
            )
    return rows


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=5, help="of each page in each look")
    parser.add_argument("--only", default="", help="pages whose names have this in them; nothing is saved")
    arguments = parser.parse_args()
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if chromium is None:
        sys.exit("No Chromium is installed here.")
    with (
        tempfile.TemporaryDirectory(prefix="bench-first-load-") as folder,
        installed(
            Path(folder),
            is_embedded=True,
            settings={
                "DJANGO_SETTINGS_MODULE": "bench.packed_settings",
                "BENCH_STATIC_ROOT": str(Path(folder) / "static"),
            },
        ) as installation,
        sync_playwright() as playwright,
    ):
        draw_dataset(Path(folder) / "dataset")
        pages = list_pages(Path(folder) / "dataset")
        site = start_site(installation)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        chosen = {name: page for name, page in pages.items() if arguments.only in name}
        rows = measure(browser, site, chosen, loads=arguments.loads)
        figures = {
            "n": arguments.loads,
            "browser": f"Chromium {browser.version}",
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "pages": rows,
        }
        browser.close()
    if not arguments.only:
        save_result("first-load.json", figures, packages=("django", "granian", "whitenoise", "playwright"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

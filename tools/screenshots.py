"""Makes docs/screenshots from a site of its own: `make screenshots`.

It starts an embedded site in a temporary folder, lets it draw the demo dataset, train on it and classify drawings, and
then walks the main pages: on a desktop in light English, on a telephone in dark French. No picture is anybody else's.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tools.draw_classes import SIDE, draw_strip
from tools.draw_ship import draw_ship

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "screenshots"
START_SECONDS: Final = 300
WAIT_MS: Final = 60_000
PASSWORD: Final = "only-for-screenshots"  # noqa: S105  # of a site that is gone a minute later
CHANGES: Final = ("epochs=12", "batch_size=100", "width_multiplier=0.125", "flip=false")

PAGES: Final = {
    "classify": "/",
    "history": "/history/",
    "prediction": "/history/1/",
    "training": "/training/",
    "new-run": "/training/new/",
    "run": "/training/1/",
    "models": "/models/",
    "model": "/models/1/",
    "data": "/data/1/",
    "learn": "/learn/",
}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "": {
        "viewport": {"width": 1180, "height": 880},
        "device_scale_factor": 1.5,
        "locale": "en-GB",
        "color_scheme": "light",
    },
    "-phone-dark-fr": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "locale": "fr-FR",
        "color_scheme": "dark",
        "has_touch": True,
        "is_mobile": True,
    },
}


@contextmanager
def run_site(var: Path) -> Iterator[str]:
    """Run an embedded site whose folder is `var`, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "up", "--with-parent"]
    with (var / "up.log").open("w") as log:
        site = subprocess.Popen(command, cwd=ROOT, env=_environment(var, PORT=str(port)), stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/v1/health", site)
        yield f"http://127.0.0.1:{port}"
    finally:
        site.send_signal(signal.SIGTERM)
        site.wait()


def _environment(var: Path, **more: str) -> dict[str, str]:
    own = {"CIFARSITE_VAR": str(var), "CIFARSITE_ADMIN_PASSWORD": PASSWORD, "CIFARSITE_TRAINING_THREADS": "1"}
    return {**os.environ, "DATABASE_URL": "", "REDIS_URL": "", **own, **more}


def _wait_for(address: str, site: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and site.poll() is None:
        try:
            with urllib.request.urlopen(address):  # noqa: S310  # our own site
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    message = f"{address} does not answer."
    raise RuntimeError(message)


def prepare(var: Path) -> None:
    """Let the site draw a dataset and train on it."""
    for arguments in (["import_dataset", "--demo"], ["train", "--dataset", "demo", "--set", *CHANGES]):
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=_environment(var), check=True)


def sign_in(browser: Browser, address: str, look: dict[str, Any]) -> Page:
    """Open a page as the administrator."""
    page = browser.new_context(base_url=address, reduced_motion="reduce", **look).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto("/accounts/login/")
    page.fill("[name=login]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url("**/")
    return page


def classify_drawings(page: Page) -> None:
    """Fill the history with the site's own drawings."""
    strip = draw_strip()
    for number in range(strip.width // SIDE):
        stream = io.BytesIO()
        strip.crop((number * SIDE, 0, (number + 1) * SIDE, SIDE)).save(stream, "PNG")
        _classify(page, f"drawing-{number + 1}.png", "image/png", stream.getvalue())


def _classify(page: Page, name: str, media_type: str, content: bytes) -> None:
    page.goto("/")
    file = {"name": name, "mimeType": media_type, "buffer": content}
    page.locator("#id_file").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
    page.wait_for_selector(".answers .answer-class")
    page.wait_for_load_state("networkidle")


def shoot(page: Page, name: str, path: str) -> None:
    """Keep what a page looks like, in 256 colours."""
    if path == "/":
        _classify(page, "harbour.jpg", "image/jpeg", draw_ship())
    else:
        page.goto(path)
        page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").quantize(256).save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """Make every screenshot."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, run_site(Path(folder)) as address:
        prepare(Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for ending, look in LOOKS.items():
            page = sign_in(browser, address, look)
            if not ending:
                classify_drawings(page)
            for name, path in PAGES.items():
                shoot(page, name + ending, path)
        browser.close()


if __name__ == "__main__":
    main()

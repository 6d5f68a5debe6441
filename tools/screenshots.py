"""Makes the README's screenshot from a running site: `python tools/screenshots.py ADDRESS NAME PASSWORD`.

The picture that is classified is drawn here, so that nobody's rights are touched; the answer is the champion's own.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
WIDTH, HEIGHT = 1200, 900
HORIZON = 560
Colour = tuple[int, int, int]


def draw_ship() -> bytes:
    """Return a JPEG of a steamer on a calm sea in the morning."""
    image = _gradient(WIDTH, HEIGHT, (150, 190, 220), (240, 214, 180))
    image.paste(_gradient(WIDTH, HEIGHT - HORIZON, (58, 110, 135), (24, 62, 84)), (0, HORIZON))
    draw = ImageDraw.Draw(image)
    draw.ellipse((880, 170, 1000, 290), fill=(255, 240, 205))
    _draw_waves(draw)
    draw.polygon([(180, 560), (1020, 560), (930, 690), (290, 690)], fill=(120, 40, 36))
    draw.polygon([(180, 560), (1020, 560), (1010, 578), (192, 578)], fill=(238, 234, 226))
    for deck, window_top in (((330, 470, 800, 562), 498), ((400, 400, 640, 472), 420)):
        draw.rectangle(deck, fill=(240, 238, 232))
        for left in range(deck[0] + 24, deck[2] - 30, 54):
            draw.rectangle((left, window_top, left + 28, window_top + 25), fill=(60, 84, 98))
    draw.rectangle((690, 340, 770, 472), fill=(196, 88, 42))
    draw.rectangle((690, 340, 770, 366), fill=(40, 44, 48))
    draw.line((300, 560, 300, 300), fill=(70, 60, 54), width=8)
    draw.line((300, 320, 430, 470), fill=(70, 60, 54), width=3)
    for smoke in ((700, 270, 790, 330), (760, 230, 880, 310), (850, 205, 960, 270)):
        draw.ellipse(smoke, fill=(214, 217, 219))
    stream = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(1.2)).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), top)
    column.putpixel((0, 1), bottom)
    return column.resize((width, height), Image.Resampling.BILINEAR)


def _draw_waves(draw: ImageDraw.ImageDraw) -> None:
    chance = random.Random(3)  # noqa: S311  # waves, no secret
    for _ in range(160):
        x, y = chance.randint(0, WIDTH), chance.randint(HORIZON + 15, HEIGHT - 10)
        length = chance.randint(20, 90) * (y - 500) // 200
        draw.line((x, y, x + length, y), fill=(96, 150, 172), width=2 + (y - HORIZON) // 120)


def shoot(address: str, name: str, password: str) -> None:
    """Sign in at `address`, classify the drawing and keep what the page looks like."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 880}, locale="en-GB", device_scale_factor=1.5)
        page.goto(f"{address}/accounts/login/?next=/")
        page.fill("[name=login]", name)
        page.fill("[name=password]", password)
        page.click("main button[type=submit]")
        file = {"name": "harbour.jpg", "mimeType": "image/jpeg", "buffer": draw_ship()}
        for _ in range(2):  # the first answer of a process waits for the model to be loaded
            page.goto(address)
            page.locator("#id_file").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
            page.wait_for_selector(".answers .answer-class")
        page.wait_for_timeout(500)  # the answer's arrival is a short movement
        page.wait_for_function("document.querySelector('.answers img').naturalWidth > 0")
        with Image.open(io.BytesIO(page.screenshot())) as shot:
            shot.convert("RGB").quantize(256).save(FOLDER / "classify.png", optimize=True)
        browser.close()


def main() -> None:
    """Read the command line and make the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="where the site runs")
    parser.add_argument("name", help="user name")
    parser.add_argument("password")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    shoot(options.address.rstrip("/"), options.name, options.password)


if __name__ == "__main__":
    main()

"""Draws a picture to classify, so that screenshots touch nobody's rights."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, ImageFilter

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

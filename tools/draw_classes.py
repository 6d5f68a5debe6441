"""Draws one small picture of each CIFAR-10 class for the Learn page: `python -m tools.draw_classes`.

They are drawings of our own, so that the page needs no photograph of anybody's. Each is 32 pixels wide, as the models
see pictures; the file holds the ten side by side, in the order of the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

FILE: Final = Path(__file__).resolve().parent.parent / "static" / "img" / "classes.png"
SIDE: Final = 32
_FINER: Final = 8  # shapes are drawn this much larger and then averaged, which gives soft edges

Colour = tuple[int, int, int]
SKY, SEA, GRASS, ROAD, SAND = (168, 205, 228), (58, 112, 140), (118, 158, 88), (116, 118, 120), (214, 196, 158)
WHITE, INK, BRICK, OCHRE, BROWN, GREY = (
    (244, 243, 238), (38, 42, 46), (178, 62, 46), (222, 164, 62), (126, 84, 54), (150, 150, 146),
)  # fmt: skip


class _Pen:
    """Draws in units of the final picture's pixels."""

    def __init__(self, upper: Colour, lower: Colour, horizon: float) -> None:
        self.image = Image.new("RGB", (SIDE * _FINER, SIDE * _FINER), upper)
        self._draw = ImageDraw.Draw(self.image)
        self.box(0, horizon, SIDE, SIDE, lower)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        self._draw.rectangle([left * _FINER, top * _FINER, right * _FINER - 1, bottom * _FINER - 1], fill=fill)

    def oval(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        self._draw.ellipse([corner * _FINER for corner in corners], fill=fill)

    def shape(self, points: str, fill: Colour) -> None:
        """Fill a polygon, given as "x,y x,y …"."""
        self._draw.polygon(
            [(float(x) * _FINER, float(y) * _FINER) for x, y in (point.split(",") for point in points.split())],
            fill=fill,
        )

    def line(self, ends: tuple[float, float, float, float], width: float, fill: Colour) -> None:
        self._draw.line([end * _FINER for end in ends], fill, width=round(width * _FINER))

    def legs(self, places: str, top: float, bottom: float, fill: Colour, width: float = 1.7) -> None:
        for x in places.split():
            self.line((float(x), top, float(x), bottom), width, fill)


def _draw_airplane() -> Image.Image:
    pen = _Pen(SKY, (196, 222, 236), 22)
    pen.shape("13,15 19,15 27,26 24,26", GREY)
    pen.shape("13,13 18,13 24,5 21,5", GREY)
    pen.oval(16, 15, 28, 6, WHITE)
    pen.shape("2,14 7,14 3,7 1,7", BRICK)
    pen.shape("26,13.2 29,14.6 26,15", INK)
    for x in range(8, 25, 3):
        pen.oval(x, 14.2, 1.1, 1.1, INK)
    return pen.image


def _draw_automobile() -> Image.Image:
    pen = _Pen((206, 214, 214), ROAD, 20)
    pen.shape("7,15 11,9 21,9 26,15", BRICK)
    pen.shape("9,15 12,10.4 15.6,10.4 15.6,15", SKY)
    pen.shape("16.8,10.4 20.4,10.4 24,15 16.8,15", SKY)
    pen.shape("2,16 4,14.6 28,14.6 30.5,17 30.5,22 2,22", BRICK)
    pen.oval(29.3, 18, 2, 2, OCHRE)
    for x in (8.5, 23.5):
        pen.oval(x, 22, 6.4, 6.4, INK)
        pen.oval(x, 22, 2.8, 2.8, GREY)
    return pen.image


def _draw_bird() -> Image.Image:
    pen = _Pen((214, 226, 206), GRASS, 27)
    pen.line((0, 25, 32, 23), 1.8, BROWN)
    pen.legs("15 18", 19, 24.5, INK, 0.8)
    pen.shape("3,22 13,14 14,19", (66, 92, 130))
    pen.oval(16, 15.5, 14, 10, (94, 128, 172))
    pen.oval(18, 17.5, 9, 6, (226, 174, 122))
    pen.oval(22, 10, 8, 7.6, (94, 128, 172))
    pen.shape("25.4,9 30,10.6 25.4,11.6", OCHRE)
    pen.oval(23.2, 9.2, 1.5, 1.5, INK)
    pen.shape("8,14 17,12 14,19", (66, 92, 130))
    return pen.image


def _draw_cat() -> Image.Image:
    pen = _Pen((224, 206, 186), (176, 148, 122), 26)
    fur, stripe = (206, 138, 74), (150, 92, 44)
    pen.line((24, 27, 29, 20), 2.4, fur)
    pen.oval(16, 26, 19, 16, fur)
    pen.shape("6,3 13,9 6.4,14", fur)
    pen.shape("26,3 19,9 25.6,14", fur)
    pen.oval(16, 13, 20, 15, fur)
    for x in (13, 16, 19):
        pen.line((x, 6, x, 9), 1.1, stripe)
    for middle in (11.6, 20.4):
        pen.oval(middle, 12.6, 3.6, 3.8, (206, 214, 120))
        pen.oval(middle, 12.6, 1.3, 3.4, INK)
    pen.oval(16, 17.4, 8, 4.6, WHITE)
    pen.shape("14.8,15.4 17.2,15.4 16,17", BRICK)
    pen.line((8, 17, 13, 17.4), 0.5, WHITE)
    pen.line((24, 17, 19, 17.4), 0.5, WHITE)
    return pen.image


def _draw_deer() -> Image.Image:
    pen = _Pen((196, 208, 184), (104, 134, 76), 22)
    fur = (158, 112, 70)
    pen.legs("8 11 18 21", 19, 29, (122, 84, 52))
    pen.oval(14.5, 17.5, 18, 8.4, fur)
    pen.shape("18,18 22,8 26,9 23,19", fur)
    pen.oval(25, 8.6, 7, 4.4, fur)
    pen.oval(5.6, 16, 2.6, 3, WHITE)
    for points in ((23, 7, 21, 1), (22, 4, 18.6, 2.4), (24.6, 7, 27, 1), (26, 4, 29.4, 2.6)):
        pen.line(points, 0.9, (94, 66, 42))
    pen.oval(25.6, 8, 1, 1, INK)
    pen.oval(28.4, 9, 1, 1, INK)
    return pen.image


def _draw_dog() -> Image.Image:
    pen = _Pen((192, 212, 222), GRASS, 24)
    pen.oval(16, 27, 18, 15, (232, 224, 210))
    pen.oval(16, 14, 17, 17, (232, 224, 210))
    pen.oval(7.6, 14, 6, 13, BROWN)
    pen.oval(24.4, 14, 6, 13, BROWN)
    pen.oval(19.6, 11.6, 6, 6.6, BROWN)
    pen.oval(16, 18.4, 9, 6.6, WHITE)
    pen.oval(16, 16.6, 4, 2.8, INK)
    pen.shape("14.8,20 17.2,20 17,23.2 15,23.2", BRICK)
    pen.oval(12.6, 12, 1.9, 2.2, INK)
    pen.oval(19.4, 12, 1.9, 2.2, INK)
    return pen.image


def _draw_frog() -> Image.Image:
    pen = _Pen((86, 122, 112), (62, 98, 62), 24)
    skin, dark = (122, 176, 70), (84, 132, 48)
    pen.oval(6, 24, 10, 8, dark)
    pen.oval(26, 24, 10, 8, dark)
    pen.oval(16, 20, 21, 17, skin)
    pen.oval(10, 10.4, 7.4, 7.4, skin)
    pen.oval(22, 10.4, 7.4, 7.4, skin)
    for x in (10, 22):
        pen.oval(x, 10, 4.4, 4.4, OCHRE)
        pen.oval(x, 10, 3, 1.6, INK)
    pen.oval(16, 24, 14, 7, (200, 214, 140))
    pen.line((8.6, 18.4, 23.4, 18.4), 0.8, dark)
    return pen.image


def _draw_horse() -> Image.Image:
    pen = _Pen((206, 220, 226), SAND, 23)
    coat, mane = (112, 66, 42), (54, 34, 26)
    pen.legs("7 10 19 22", 18, 29.4, coat, 1.9)
    pen.line((4.6, 14, 2.4, 23), 1.8, mane)
    pen.oval(14, 16, 20, 9, coat)
    pen.shape("18,17 22,5 27,6 24,18", coat)
    pen.shape("22,4.6 26,4 31,11 28.6,13 24,9", coat)
    pen.shape("22.4,3 19,14 16.6,13 20,4", mane)
    pen.shape("22.6,5 23,1.6 25,4.6", coat)
    pen.oval(25.6, 7, 1.1, 1.1, INK)
    return pen.image


def _draw_ship() -> Image.Image:
    pen = _Pen((214, 222, 224), SEA, 21)
    pen.box(10, 11, 22, 19, WHITE)
    pen.box(12, 7.6, 18, 11, WHITE)
    pen.box(18.6, 4, 21.4, 11, BRICK)
    pen.box(18.6, 4, 21.4, 5.4, INK)
    pen.line((8, 4, 8, 18), 0.7, INK)
    pen.shape("1,17.6 31,17.6 27.4,25 5,25", (54, 62, 84))
    pen.shape("1,17.6 31,17.6 30.6,18.8 1.6,18.8", WHITE)
    for x in range(12, 22, 3):
        pen.box(x, 13, x + 1.5, 14.6, (84, 112, 128))
    for y, left in ((26.4, 2), (28.6, 14), (30, 5)):
        pen.line((left, y, left + 12, y), 0.6, (118, 160, 178))
    return pen.image


def _draw_truck() -> Image.Image:
    pen = _Pen((220, 212, 198), ROAD, 23)
    pen.box(1.4, 6, 20, 22, (236, 234, 226))
    pen.box(1.4, 12, 20, 14, (66, 118, 104))
    pen.shape("21,10 26.6,10 30.6,16 30.6,22 21,22", (66, 118, 104))
    pen.shape("22.4,11.6 26,11.6 28.8,16 22.4,16", SKY)
    pen.box(1.4, 21, 30.6, 23, INK)
    for x in (6.5, 13, 25.6):
        pen.oval(x, 23.4, 5.6, 5.6, INK)
        pen.oval(x, 23.4, 2.4, 2.4, GREY)
    return pen.image


DRAWERS: Final[tuple[Callable[[], Image.Image], ...]] = (
    _draw_airplane, _draw_automobile, _draw_bird, _draw_cat, _draw_deer, _draw_dog, _draw_frog, _draw_horse, _draw_ship,
    _draw_truck,
)  # fmt: skip


def draw_strip() -> Image.Image:
    """Return the ten pictures side by side, 320 × 32 pixels."""
    strip = Image.new("RGB", (SIDE * len(DRAWERS), SIDE))
    for number, draw in enumerate(DRAWERS):
        strip.paste(draw().reduce(_FINER), (number * SIDE, 0))
    return strip


if __name__ == "__main__":
    draw_strip().save(FILE, optimize=True)

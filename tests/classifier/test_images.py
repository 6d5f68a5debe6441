"""Uploaded bytes become pixels and a clean thumbnail, or one named refusal: nothing else ever comes out."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Final

import numpy as np
import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from classifier.images import ImageLimits, ImageRejected, ReadImage, read_image
from training.engine.photograph import decode_photograph, to_rgb_square


def encode(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def announced_png(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(99))) + png_chunk(b"IEND", b"")


def inflating_png() -> bytes:
    """Return a small PNG whose pixel data unpack to far more than its size needs."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 6_000, 6_000, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(200_000_000), 9)[:100_000])
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b"")


def bad_checksum() -> bytes:
    data = bytearray(encode(noise(64, 64)))
    data[-20] ^= 0xFF
    return bytes(data)


def giant_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 5_000_000, zip=True)
    return encode(noise(8, 8), pnginfo=text)


def long_gif(frames: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


SVG_WITH_XXE = b"""<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><text>&x;</text></svg>"""

REFUSED: Final[dict[str, tuple[bytes, str, int]]] = {
    "text": (b"hello, I am picture.png", "not_an_image", 415),
    "svg": (SVG_WITH_XXE, "not_an_image", 415),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image", 415),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not_an_image", 415),
    "psd": (b"8BPS\x00\x01" + bytes(60), "not_an_image", 415),
    "fits": (b"SIMPLE  =                    T" + b" " * 2850, "not_an_image", 415),
    "tiff": (encode(noise(8, 8), "TIFF"), "not_an_image", 415),
    "ico": (encode(noise(16, 16), "ICO"), "not_an_image", 415),
    "zip": (b"PK\x03\x04" + bytes(60), "not_an_image", 415),
    "zero-bytes": (b"", "empty", 422),
    "truncated-png": (encode(noise(64, 64))[:3000], "broken", 422),
    "truncated-jpeg": (encode(noise(64, 64), "JPEG")[:1500], "broken", 422),
    "truncated-webp": (encode(noise(64, 64), "WEBP")[:500], "broken", 422),
    "bad-checksum": (bad_checksum(), "broken", 422),
    "giant-text": (giant_text(), "broken", 422),
    "cut-inflating-png": (inflating_png(), "broken", 422),
    "30000x30000": (announced_png(30_000, 30_000), "too_large", 413),
    "1x200000": (announced_png(1, 200_000), "too_large", 413),
    "10000-frames": (long_gif(10_000), "too_many_frames", 413),
    "many-scans": (encode(noise(64, 64), "JPEG") + b"\xff\xda" * 200, "too_complex", 413),
    "too-many-bytes": (bytes(10 * 1024 * 1024 + 1), "too_many_bytes", 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, code, status = REFUSED[case]
    with pytest.raises(ImageRejected) as caught:
        read_image(data)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert "%(" not in str(caught.value.detail)


def exif_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def clear_palette() -> Image.Image:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 1
    return image


def animation(image_format: str) -> bytes:
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    return encode(frames[0], image_format, save_all=True, append_images=frames[1:])


ACCEPTED: Final[dict[str, tuple[bytes, str]]] = {
    "jpeg": (encode(noise(40, 30), "JPEG"), "JPEG"),
    "progressive-jpeg": (encode(noise(40, 30), "JPEG", progressive=True), "JPEG"),
    "png": (encode(noise(40, 30)), "PNG"),
    "webp": (encode(noise(40, 30), "WEBP"), "WEBP"),
    "gif": (encode(noise(40, 30), "GIF"), "GIF"),
    "bmp": (encode(noise(40, 30), "BMP"), "BMP"),
    "cmyk": (encode(Image.new("CMYK", (40, 30)), "JPEG"), "JPEG"),
    "16-bit": (encode(Image.fromarray(np.full((30, 40), 4096, dtype=np.uint16))), "PNG"),
    "rgba": (encode(Image.new("RGBA", (40, 30), (1, 2, 3, 4))), "PNG"),
    "la": (encode(Image.new("LA", (40, 30), (1, 2))), "PNG"),
    "palette": (encode(clear_palette()), "PNG"),
    "1-bit": (encode(Image.new("1", (40, 30))), "PNG"),
    "1x1": (encode(noise(1, 1)), "PNG"),
    "1x1000": (encode(noise(1, 1000)), "PNG"),
    "animated-gif": (animation("GIF"), "GIF"),
    "animated-webp": (animation("WEBP"), "WEBP"),
    "1000-frames": (long_gif(1_000), "GIF"),
    "broken-exif": (encode(noise(40, 30), "JPEG", exif=b"Exif\0\0garbage"), "JPEG"),
    "polyglot": (encode(noise(40, 30)) + b"<script>alert(1)</script>PK\x05\x06" + bytes(18), "PNG"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    data, image_format = ACCEPTED[case]
    image = read_image(data)
    assert image.format == image_format
    assert (image.width, image.height) == Image.open(io.BytesIO(data)).size
    check(image)
    np.testing.assert_array_equal(image.pixels, to_rgb_square(decode_photograph(data).image))


def check(image: ReadImage) -> None:
    """Check what holds of everything that is read."""
    assert image.pixels.shape == (32, 32, 3)
    assert image.pixels.dtype == np.uint8
    thumbnail = Image.open(io.BytesIO(image.thumbnail))
    assert (thumbnail.format, thumbnail.mode) == ("JPEG", "RGB")
    assert max(thumbnail.size) == min(128, max(image.width, image.height))
    assert set(thumbnail.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_pixels_and_thumbnail(orientation: int) -> None:
    upright = noise(60, 40)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation → the transposition that stores it so
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation in back else upright
    image = read_image(encode(stored, exif=exif_with_orientation(orientation)))
    expected = read_image(encode(upright))
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    assert (image.thumbnail, image.width, image.height) == (expected.thumbnail, 60, 40)


def test_metadata_of_the_uploader_is_not_kept() -> None:
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    data = encode(noise(200, 100), "JPEG", exif=exif.tobytes(), comment=b"secret comment", icc_profile=b"secret icc")
    assert data.count(b"secret") == 3
    assert b"secret" not in read_image(data).thumbnail


def test_thumbnail_keeps_the_proportions() -> None:
    image = read_image(encode(noise(1024, 512)))
    assert Image.open(io.BytesIO(image.thumbnail)).size == (128, 64)
    assert Image.open(io.BytesIO(read_image(encode(noise(3, 2000))).thumbnail)).size == (1, 128)
    assert Image.open(io.BytesIO(read_image(encode(noise(20, 10))).thumbnail)).size == (20, 10)


def test_transparency_is_white_in_the_thumbnail() -> None:
    image = read_image(encode(Image.new("RGBA", (40, 40), (0, 0, 0, 0))))
    assert np.asarray(Image.open(io.BytesIO(image.thumbnail))).min() == 255


def test_size_of_a_large_jpeg_is_the_original_one() -> None:
    image = read_image(encode(Image.new("RGB", (3000, 2000), "white"), "JPEG"))
    assert (image.width, image.height) == (3000, 2000)


def test_limits_can_be_set() -> None:
    data = encode(noise(20, 10))
    assert read_image(data, limits=ImageLimits(max_pixels=200)).width == 20
    with pytest.raises(ImageRejected, match="too_large") as caught:
        read_image(data, limits=ImageLimits(max_pixels=199, max_side=500))
    assert str(caught.value.detail) == "The picture is larger than 0.000199 megapixels or 500 pixels on a side."


def test_refusals_are_said_in_the_language_of_the_reader() -> None:
    with translation.override("en"), pytest.raises(ImageRejected) as caught:
        read_image(b"hello")
    assert str(caught.value.detail) == ("This is not a picture we can read. Use a JPEG, PNG, WEBP, GIF or BMP file.")


def read_or_refuse(data: bytes) -> None:
    try:
        check(read_image(data))
    except ImageRejected as rejected:
        assert rejected.status in (413, 415, 422)  # noqa: PT017  both outcomes are right


MAGICS: Final = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x40\0\0\0WEBPVP8 ", b"BM")
SEEDS: Final = tuple(data for data, _ in ACCEPTED.values())


@given(magic=st.sampled_from((b"", *MAGICS)), rest=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes(magic: bytes, rest: bytes) -> None:
    read_or_refuse(magic + rest)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=4),
    kept=st.floats(0.3, 1),
)
@settings(max_examples=400, deadline=None)
def test_damaged_pictures(seed: bytes, edits: list[tuple[float, bytes]], kept: float) -> None:
    data = bytearray(seed)
    for place, value in edits:
        start = int(place * min(len(data), 600))
        data[start : start + len(value)] = value
    read_or_refuse(bytes(data[: int(kept * len(data))] if kept < 0.9 else data))


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@given(
    body=st.binary(max_size=64), kind=st.sampled_from([b"eXIf", b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"acTL", b"fcTL"])
)
@settings(max_examples=200, deadline=None)
def test_odd_png_chunks_with_right_checksums(kind: bytes, body: bytes) -> None:
    plain = encode(noise(4, 4))
    read_or_refuse(plain[:33] + png_chunk(kind, body) + plain[33:])

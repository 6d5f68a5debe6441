"""One path from any picture to the 32×32 array: orientation, modes, transparency, cropping, limits."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from training.engine.photograph import (
    DRAFT_SIDE,
    ImageLimits,
    PhotographError,
    decode_photograph,
    read_orientation,
    to_rgb_square,
)

ROOT = Path(__file__).parents[3]

# How to store an upright picture so that a reader who honours orientation N sees it upright.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encode(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def random_image(width: int, height: int, *, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def square_of(data: bytes) -> NDArray[np.uint8]:
    return to_rgb_square(decode_photograph(data).image)


def flat(*rgb: int) -> NDArray[np.uint8]:
    return np.full((32, 32, 3), rgb, dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(32, 32), (61, 40), (33, 90)])
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_every_orientation_gives_the_same_array(orientation: int, width: int, height: int, image_format: str) -> None:
    upright = random_image(width, height)
    transposition = STORED_AS[orientation]
    stored = upright.transpose(transposition) if transposition is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, image_format, exif=exif.tobytes(), lossless=True)
    photograph = decode_photograph(data)
    assert (photograph.width, photograph.height) == (width, height)
    np.testing.assert_array_equal(to_rgb_square(photograph.image), to_rgb_square(upright))


def test_orientation_is_applied_once_to_an_opened_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = random_image(40, 40)
    opened = Image.open(io.BytesIO(encode(upright.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())))
    np.testing.assert_array_equal(to_rgb_square(opened), to_rgb_square(upright))
    assert read_orientation(opened) == 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_meaningless_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    image = random_image(32, 32)
    np.testing.assert_array_equal(square_of(encode(image, exif=exif.tobytes())), np.asarray(image))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0" * 30])
def test_broken_exif_is_ignored(exif: bytes) -> None:
    assert (
        square_of(encode(Image.new("RGB", (32, 32), "white"), "JPEG", exif=exif)).tolist()
        == flat(255, 255, 255).tolist()
    )


def test_32_pixel_picture_keeps_its_pixels() -> None:
    image = random_image(32, 32)
    np.testing.assert_array_equal(square_of(encode(image)), np.asarray(image))


def test_central_square_is_kept() -> None:
    image = Image.new("RGB", (96, 32), "red")
    image.paste("blue", (32, 0, 64, 32))
    np.testing.assert_array_equal(to_rgb_square(image), flat(0, 0, 255))
    np.testing.assert_array_equal(to_rgb_square(image.rotate(90, expand=True)), flat(0, 0, 255))


def test_reduction_is_antialiased() -> None:
    checkers = np.indices((512, 512)).sum(axis=0) % 2 * 255
    square = to_rgb_square(Image.fromarray(checkers.astype(np.uint8)))
    assert square.min() >= 120
    assert square.max() <= 135


def test_other_sizes_can_be_asked_for() -> None:
    assert to_rgb_square(random_image(50, 70), size=64).shape == (64, 64, 3)


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (40, 40), 1), (255, 255, 255)),
        (Image.new("L", (40, 40), 77), (77, 77, 77)),
        (Image.new("LA", (40, 40), (0, 0)), (255, 255, 255)),
        (Image.new("LA", (40, 40), (10, 255)), (10, 10, 10)),
        (Image.new("RGBA", (40, 40), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (40, 40), (0, 0, 0, 128)), (127, 127, 127)),
        (palette_with_transparency(), (255, 255, 255)),
        (Image.fromarray(np.full((40, 40), 0x8042, dtype=np.uint16)), (128, 128, 128)),
        (Image.new("RGB", (1, 1), (1, 2, 3)), (1, 2, 3)),
    ],
    ids=["1-bit", "grey", "clear-grey", "opaque-grey", "clear", "half-clear", "palette", "16-bit", "1x1"],
)
def test_modes(image: Image.Image, expected: tuple[int, int, int]) -> None:
    np.testing.assert_array_equal(square_of(encode(image)), flat(*expected))
    np.testing.assert_array_equal(to_rgb_square(image), flat(*expected))


def test_cmyk() -> None:
    square = square_of(encode(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(square.astype(int) - flat(255, 0, 0)).max() <= 8


def test_rgb_with_a_transparent_color() -> None:
    data = encode(Image.new("RGB", (40, 40), (9, 8, 7)), transparency=(9, 8, 7))
    np.testing.assert_array_equal(square_of(data), flat(255, 255, 255))


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(image_format: str) -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue", "lime")]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)
    square = square_of(data)
    np.testing.assert_array_equal(square, flat(255, 0, 0))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_accepted_formats(image_format: str) -> None:
    photograph = decode_photograph(encode(Image.new("RGB", (50, 40), "white"), image_format))
    assert (photograph.format, photograph.width, photograph.height) == (image_format, 50, 40)
    assert photograph.image.mode == "RGB"


def test_large_jpeg_is_reduced_while_decoding_but_measured_before() -> None:
    photograph = decode_photograph(encode(Image.new("RGB", (4000, 3000), "white"), "JPEG"))
    assert (photograph.width, photograph.height) == (4000, 3000)
    assert photograph.image.size == (500, 375)
    assert min(photograph.image.size) >= DRAFT_SIDE


def test_multi_picture_jpeg_is_a_jpeg() -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in ("white", "black")]
    photograph = decode_photograph(encode(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert photograph.format == "JPEG"
    np.testing.assert_array_equal(to_rgb_square(photograph.image), flat(255, 255, 255))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header_only(width: int, height: int) -> bytes:
    """Return a PNG that announces a size and carries next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bad_checksum(kind: bytes) -> bytes:
    data = bytearray(encode(random_image(64, 64)))
    position = data.index(kind)
    (length,) = struct.unpack(">I", data[position - 4 : position])
    data[position + 4 + length] ^= 0xFF
    return bytes(data)


def png_with_text(length: int, *, packed: bool) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * length, zip=packed)
    return encode(Image.new("RGB", (8, 8)), pnginfo=text)


def gif_with_frames(count: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame * count + b";"


def jpeg_with_scans(count: int) -> bytes:
    data = encode(random_image(64, 64), "JPEG", progressive=True)
    return data[:-2] + b"\xff\xda" * count + data[-2:]


REFUSED: dict[str, tuple[bytes, str]] = {
    "zero-bytes": (b"", "empty"),
    "text": (b"hello", "not_an_image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0", "not_an_image"),
    "pdf": (b"%PDF-1.7", "not_an_image"),
    "psd": (b"8BPS" + bytes(40), "not_an_image"),
    "fits": (b"SIMPLE  =                    T", "not_an_image"),
    "tiff": (encode(random_image(8, 8), "TIFF"), "not_an_image"),
    "png-without-end": (encode(random_image(64, 64))[:-20], "broken"),
    "png-cut": (encode(random_image(64, 64))[:100], "broken"),
    "jpeg-cut": (encode(random_image(64, 64), "JPEG")[:700], "broken"),
    "webp-cut": (encode(random_image(64, 64), "WEBP")[:200], "broken"),
    "gif-cut": (encode(random_image(64, 64), "GIF")[:900], "broken"),
    "bmp-cut": (encode(random_image(64, 64), "BMP")[:900], "broken"),
    "jpeg-magic-alone": (b"\xff\xd8\xff", "broken"),
    "png-magic-alone": (b"\x89PNG\r\n\x1a\n", "broken"),
    "gif-magic-alone": (b"GIF89a", "broken"),
    "bmp-magic-alone": (b"BM", "broken"),
    "webp-magic-alone": (b"RIFF\0\0\0\0WEBP", "broken"),
    "png-header-checksum": (bad_checksum(b"IHDR"), "broken"),
    "png-data-checksum": (bad_checksum(b"IDAT"), "broken"),
    "png-giant-packed-text": (png_with_text(3_000_000, packed=True), "broken"),
    "png-giant-text": (png_with_text(3_000_000, packed=False), "broken"),
    "png-30000x30000": (png_header_only(30_000, 30_000), "too_large"),
    "png-1x200000": (png_header_only(1, 200_000), "too_large"),
    "png-just-above": (png_header_only(8_000, 5_001), "too_large"),
    "gif-10000-frames": (gif_with_frames(10_000), "too_many_frames"),
    "jpeg-5000-scans": (jpeg_with_scans(5_000), "too_complex"),
    "too-many-bytes": (bytes(10 * 1024 * 1024 + 1), "too_many_bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, fault = REFUSED[case]
    with pytest.raises(PhotographError) as caught:
        decode_photograph(data)
    assert caught.value.fault == fault


def test_limits_are_inclusive() -> None:
    decode_photograph(gif_with_frames(1_000))
    decode_photograph(encode(Image.new("1", (1, 20_000))))
    decode_photograph(encode(random_image(20, 10)), limits=ImageLimits(max_pixels=200, max_side=20))
    with pytest.raises(PhotographError):
        decode_photograph(encode(random_image(20, 10)), limits=ImageLimits(max_pixels=199))
    with pytest.raises(PhotographError):
        decode_photograph(encode(random_image(20, 10)), limits=ImageLimits(max_side=19))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_frames_are_counted(image_format: str) -> None:
    frames = [random_image(8, 8, seed=seed) for seed in range(4)]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    decode_photograph(data, limits=ImageLimits(max_frames=4))
    with pytest.raises(PhotographError, match="more than 3 frames"):
        decode_photograph(data, limits=ImageLimits(max_frames=3))


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, training.engine.photograph, training.engine.datasets; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "False\n"

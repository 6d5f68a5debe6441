"""From the bytes of any photograph to the 32×32 RGB array that networks see: one path for imports, pages and programs.

A picture is opened only in a format of the list, measured before it is decoded, turned as its EXIF orientation says,
laid over white where it is transparent, cropped to its central square and shrunk with antialiasing.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from training.engine.constants import IMAGE_SIZE
from training.engine.exceptions import EngineError
from training.engine.image_containers import (
    MAX_TEXT_CHUNK_BYTES,
    count_gif_frames,
    count_jpeg_scans,
    find_png_fault,
    sniff_format,
)

ACCEPTED_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of the formats that are opened; decoders of every other format stay out of reach."""

DRAFT_SIDE: Final = 8 * IMAGE_SIZE
"""A JPEG's shorter side is never reduced below this while decoding, in pixels: antialiasing does the other 8×."""

MAX_JPEG_SCANS: Final = 100
"""A progressive JPEG has about ten; thousands over a large picture would keep a decoder busy for minutes."""

Fault = Literal["not_an_image", "empty", "broken", "too_many_bytes", "too_large", "too_many_frames", "too_complex"]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a picture may measure.

    Attributes:
        max_bytes: Of the file.
        max_pixels: Width times height.
        max_side: Longest side, in pixels.
        max_frames: Of an animation, though only its first frame is looked at.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side: int = 20_000
    max_frames: int = 1_000


DEFAULT_LIMITS: Final = ImageLimits()

PILLOW_MAX_PIXELS: Final = 125_000_000
"""Pillow itself refuses twice as many, whatever `ImageLimits` say: the last guard when a header lied."""

# Pillow's own switches are process-wide, so they are set here once, for everybody who opens a picture through this
# module. They only back up `ImageLimits`, which are checked first, so a mere warning would say nothing new. Truncated
# files are errors, never half grey pictures.
Image.MAX_IMAGE_PIXELS = PILLOW_MAX_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
PngImagePlugin.MAX_TEXT_CHUNK = MAX_TEXT_CHUNK_BYTES
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# What Pillow's decoders raise on damaged files; they document only the first two.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    AssertionError,
    struct.error,
    zlib.error,
)

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotographError(EngineError):
    """Bytes that cannot be taken as a picture.

    Args:
        fault: What is wrong, for programs.
        detail: What is wrong, continuing a sentence that starts with the file's name.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault: Fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Photograph:
    """A decoded picture.

    Attributes:
        image: Upright RGB, without metadata to act on; a large JPEG has already lost a part of its resolution.
        width: Of the upright original, in pixels.
        height: Of the upright original, in pixels.
        format: One of `ACCEPTED_FORMATS`.
    """

    image: Image.Image
    width: int
    height: int
    format: str


def decode_photograph(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> Photograph:
    """Decode a file's bytes, whatever it is called.

    Args:
        data: The file.
        limits: What it may measure.

    Returns:
        The picture, upright, in RGB.

    Raises:
        PhotographError: It is not a picture of an accepted format, is damaged, or is beyond the limits.
    """
    image_format = _check_container(data, limits=limits)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=ACCEPTED_FORMATS)
        width, height = image.size
        _check_size(width, height, limits=limits)
        if image_format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > limits.max_frames:
            raise PhotographError("too_many_frames", f"has more than {limits.max_frames:,} frames")
        image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
        image.load()
        orientation = read_orientation(image)
        image = _to_rgb(image)  # a large picture's decoder goes before the next copy is made
        upright = _turn(image, orientation)
    except Image.DecompressionBombError as error:
        raise _too_large(limits) from error
    except _DECODER_ERRORS as error:
        raise PhotographError("broken", "cannot be decoded: the file is damaged or cut short") from error
    return Photograph(upright, *((height, width) if orientation >= 5 else (width, height)), image_format)


def _check_container(data: bytes, *, limits: ImageLimits) -> str:
    if not data:
        raise PhotographError("empty", "is empty")
    if len(data) > limits.max_bytes:
        raise PhotographError("too_many_bytes", f"has more than {limits.max_bytes:,} bytes")
    image_format = sniff_format(data)
    if image_format is None:
        raise PhotographError("not_an_image", "is not a JPEG, PNG, WEBP, GIF or BMP image")
    if image_format == "PNG" and (fault := find_png_fault(data)):
        raise PhotographError("broken", fault)
    if image_format == "GIF" and count_gif_frames(data, at_most=limits.max_frames + 1) > limits.max_frames:
        raise PhotographError("too_many_frames", f"has more than {limits.max_frames:,} frames")
    if image_format == "JPEG" and count_jpeg_scans(data) > MAX_JPEG_SCANS:
        raise PhotographError("too_complex", f"has more than {MAX_JPEG_SCANS} scans")
    return image_format


def _check_size(width: int, height: int, *, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise _too_large(limits)


def _too_large(limits: ImageLimits) -> PhotographError:
    most = f"{limits.max_pixels / 1e6:g} megapixels or {limits.max_side:,} pixels a side"
    return PhotographError("too_large", f"is larger than {most}")


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or the metadata is damaged."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1
    return orientation if orientation in _TRANSPOSITIONS else 1


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says and bring any mode to RGB, transparency over white.

    Args:
        image: Any mode, any size. It is left as it is.

    Returns:
        An RGB image; the given one where there is nothing to do.

    Raises:
        OSError: The pixels cannot be decoded.
    """
    return _turn(_to_rgb(image), read_orientation(image))


def to_rgb_square(image: Image.Image, size: int = IMAGE_SIZE) -> NDArray[np.uint8]:
    """Reduce a picture to the square array that networks are trained on and asked with.

    Args:
        image: Any mode, any size, with or without EXIF orientation.
        size: Side of the result, in pixels.

    Returns:
        (size, size, 3) uint8: the central square of the upright picture, resampled with antialiasing. A picture that
        already measures size×size keeps its pixels.

    Raises:
        OSError: The pixels cannot be decoded.
    """
    upright = to_upright_rgb(image)
    width, height = upright.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(upright.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(with_alpha, mask=with_alpha)
    return opaque


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as an EXIF orientation says; the given one where there is nothing to do."""
    transposition = _TRANSPOSITIONS.get(orientation)
    if transposition is None:
        return image
    upright = image.transpose(transposition)
    upright.info = {}  # or the picture would be turned a second time
    return upright


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit grey; Pillow's own conversion clips everything above 255 to white."""
    values = np.asarray(image).clip(0, 65_535)
    return Image.fromarray((values >> 8).astype(np.uint8))

"""From an uploaded file to what the classifier keeps of it: 32×32 pixels and a thumbnail, or a refusal with its status.

Decoding is the engine's, the same for training images and for questions; here it gets HTTP statuses and sentences in
the reader's language. Nothing of the uploaded file survives as it came: the thumbnail is drawn and encoded anew.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from numpy.typing import NDArray
from PIL import Image

from training.engine.photograph import (
    ImageLimits,
    Photograph,
    PhotographError,
    decode_photograph,
    to_rgb_square,
)

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "ImageRejected", "ReadImage", "read_image", "read_pixels"]

DEFAULT_LIMITS: Final = ImageLimits()
THUMBNAIL_SIDE: Final = 128
"""Longest side of a thumbnail, in pixels; a smaller picture is not enlarged."""

_THUMBNAIL_QUALITY: Final = 85
_MEBIBYTE: Final = 1024 * 1024

_REFUSALS: Final[dict[str, tuple[int, _StrPromise]]] = {
    "not_an_image": (415, _("This is not a picture we can read. Use a JPEG, PNG, WEBP, GIF or BMP file.")),
    "empty": (422, _("The file is empty.")),
    "broken": (422, _("The picture is damaged or incomplete.")),
    "too_many_bytes": (413, _("The file is larger than %(mebibytes)s MiB.")),
    "too_large": (413, _("The picture is larger than %(megapixels)s megapixels or %(side)s pixels on a side.")),
    "too_many_frames": (413, _("The animation has more than %(frames)s frames.")),
    "nested": (422, _("This is an archive inside the archive.")),
    "too_complex": (413, _("The picture is stored in too many passes to be decoded.")),
}


class ImageRejected(Exception):  # noqa: N818  says what happened
    """A file that is not taken.

    Args:
        code: What is wrong, for programs.
        status: The HTTP status that says so: 413, 415 or 422; 400 for a file name.
        detail: What is wrong, in the reader's language.
    """

    def __init__(self, code: str, status: int, detail: str | _StrPromise) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ReadImage:
    """What is kept of a picture.

    Attributes:
        pixels: (32, 32, 3) uint8, what the model is asked about.
        thumbnail: JPEG of at most 128 pixels a side, upright, without metadata.
        width: Of the upright original, in pixels.
        height: Of the upright original, in pixels.
        format: JPEG, PNG, WEBP, GIF or BMP, by content.
    """

    pixels: NDArray[np.uint8]
    thumbnail: bytes
    width: int
    height: int
    format: str


def read_image(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> ReadImage:
    """Read an uploaded picture, whatever its name and media type claim.

    Args:
        data: The file.
        limits: What it may measure.

    Returns:
        Pixels, thumbnail and measures.

    Raises:
        ImageRejected: It is no picture of an accepted format (415), is damaged (422) or is too large (413).
    """
    photograph = _decode(data, limits=limits)
    return ReadImage(
        pixels=to_rgb_square(photograph.image),
        thumbnail=_draw_thumbnail(photograph.image),
        width=photograph.width,
        height=photograph.height,
        format=photograph.format,
    )


def read_pixels(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Read a picture as `read_image` does, for the model alone: a thumbnail would take longer than the rest.

    Args:
        data: The file.
        limits: What it may measure.

    Returns:
        (32, 32, 3) uint8.

    Raises:
        ImageRejected: As `read_image`.
    """
    return to_rgb_square(_decode(data, limits=limits).image)


def site_limits() -> ImageLimits:
    """Return what a picture may measure on this site."""
    return ImageLimits(max_bytes=settings.IMAGE_MAX_BYTES, max_pixels=settings.IMAGE_MAX_PIXELS)


def refusal_of(code: str) -> ImageRejected:
    """Return the refusal of a picture for a fault of the engine's, in the active language.

    Raises:
        KeyError: there is no such fault.
    """
    status, detail = _REFUSALS[code]
    return ImageRejected(code, status, str(detail % _describe(site_limits())))


def refusal_text(code: str) -> str:
    """Return the sentence of a refusal in the active language; "" for a code that is not one of this module."""
    return str(refusal_of(code).detail) if code in _REFUSALS else ""


def _decode(data: bytes, *, limits: ImageLimits) -> Photograph:
    try:
        return decode_photograph(data, limits=limits)
    except PhotographError as error:
        status, detail = _REFUSALS[error.fault]
        raise ImageRejected(error.fault, status, detail % _describe(limits)) from error


def _describe(limits: ImageLimits) -> dict[str, str]:
    return {
        "mebibytes": f"{limits.max_bytes / _MEBIBYTE:g}",
        "megapixels": f"{limits.max_pixels / 1e6:g}",
        "side": str(limits.max_side),
        "frames": str(limits.max_frames),
    }


def _draw_thumbnail(image: Image.Image) -> bytes:
    """Encode an upright RGB picture anew, small."""
    scale = min(1.0, THUMBNAIL_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small.info = {}  # or the encoder would copy the uploader's comment
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return file.getvalue()

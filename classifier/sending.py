"""Pictures on their way to their owner: private, never guessed at by the browser, and not sent twice."""

from __future__ import annotations

import hashlib
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from classifier.file_names import download_name
from classifier.models import Original


def send_thumbnail(request: HttpRequest, *, pk: int, data: bytes) -> HttpResponse:
    """Answer with the thumbnail of prediction `pk`, or with 304 when who asks has it already."""
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'inline; filename="prediction-{pk}.jpg"',
        "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
        "X-Content-Type-Options": "nosniff",
    }
    response = HttpResponse(data, content_type="image/jpeg", headers=headers)
    return cast("HttpResponse", get_conditional_response(request, etag=headers["ETag"], response=response))


def send_drawing(request: HttpRequest, *, name: str, data: bytes) -> HttpResponse:
    """Answer with a PNG that was drawn for its owner, or with 304 when who asks has it already."""
    headers = {
        "Cache-Control": "private, max-age=86400",
        "Content-Disposition": f'inline; filename="{name}.png"',
        "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
        "X-Content-Type-Options": "nosniff",
    }
    response = HttpResponse(data, content_type="image/png", headers=headers)
    return cast("HttpResponse", get_conditional_response(request, etag=headers["ETag"], response=response))


def send_original(request: HttpRequest, original: Original) -> HttpResponse:
    """Answer with a file as it came, or with 304 when who asks has it already.

    It may be a picture and something else as well, so that no browser is ever asked to show it: it is a download of
    bytes, whatever they are.
    """
    otherwise = f"prediction-{original.pk}"
    name = download_name(original.prediction.file_name, media_type=original.media_type, otherwise=otherwise)
    headers = {
        "Cache-Control": "private",
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=name) or "attachment",
        "ETag": f'"{original.sha256}"',
        "X-Content-Type-Options": "nosniff",
    }
    response = HttpResponse(bytes(original.data), content_type="application/octet-stream", headers=headers)
    return cast("HttpResponse", get_conditional_response(request, etag=headers["ETag"], response=response))

"""Pictures on their way to their owner: private, never guessed at by the browser, and not sent twice."""

from __future__ import annotations

import hashlib
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response


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

"""How the bodies of requests with pictures are read; see `classifier.uploads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from django.conf import settings
from rest_framework.parsers import JSONParser

from training.api.bounded import FORM_OVERHEAD_BYTES, BoundedStream


def json_limit() -> int:
    """Return how many bytes JSON with one picture in base64 may have."""
    return settings.IMAGE_MAX_BYTES * 4 // 3 + FORM_OVERHEAD_BYTES


class PictureJsonParser(JSONParser):
    """Reads JSON that is no longer than one picture in base64."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401  # whatever the JSON holds
        """Return what the JSON holds."""
        bounded = cast("IO[Any]", BoundedStream(stream, limit=json_limit()))
        return super().parse(bounded, media_type, dict(parser_context or {}))

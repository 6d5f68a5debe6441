"""How the bodies of requests with pictures are read; see `classifier.uploads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

from classifier.uploads import FORM_OVERHEAD_BYTES, BoundedStream


def json_limit() -> int:
    """Return how many bytes JSON with one picture in base64 may have."""
    return settings.IMAGE_MAX_BYTES * 4 // 3 + FORM_OVERHEAD_BYTES


class PictureFormParser(BaseParser):
    """Reads the form of an upload, as `classifier.uploads.bound_form` prepared it."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles[Any, Any]:
        """Return fields and files."""
        assert parser_context is not None  # noqa: S101  # the framework always gives one
        request: HttpRequest = parser_context["request"]._request  # its documented attribute
        return DataAndFiles(*request.parse_file_upload(request.META, cast("Any", stream)))


class PictureJsonParser(JSONParser):
    """Reads JSON that is no longer than one picture in base64."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401  # whatever the JSON holds
        """Return what the JSON holds."""
        bounded = cast("IO[Any]", BoundedStream(stream, limit=json_limit()))
        return super().parse(bounded, media_type, dict(parser_context or {}))

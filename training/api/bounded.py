"""Bodies of requests that are read no further than they may be long, before anything else reads them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import IO, Any, Final, Protocol, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser, DataAndFiles

FORM_OVERHEAD_BYTES: Final = 64 * 1024
"""What boundaries, part headers and stray fields may add to a file."""

_CHUNKED: Final = "chunked"


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class BoundedStream:
    """Reads at most `limit` bytes of another stream and remembers how it ended."""

    _TAIL_BYTES: Final = 256  # a boundary has at most 201 bytes (django.http.multipartparser), dashes and line ends

    def __init__(self, stream: _Readable, *, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self.tail = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes.

        Raises:
            RequestDataTooBig: the stream holds more than the limit.
        """
        data = self._stream.read(self._left + 1 if size < 0 else size)
        self._left -= len(data)
        if self._left < 0:
            raise RequestDataTooBig
        self.tail = (self.tail + data)[-self._TAIL_BYTES :]
        return data


class FormError(MultiPartParserError):
    """A form that cannot be accepted; `str` of it is a sentence for a person, in their language."""


class FormReader(MultiPartParser):
    """Django's reader of forms, which tells how a whole form ends, and has a limit of files of its own."""

    _boundary: bytes
    _seen_files = 0

    @property
    def most_files(self) -> int:
        """How many files a form may have."""
        return int(settings.FORM_MAX_FILES)

    @property
    def closing_boundary(self) -> bytes:
        """What a whole form ends with."""
        return b"--" + self._boundary + b"--"

    def sanitize_file_name(self, file_name: str) -> str | None:
        """Count a file, whose name this is told first.

        Raises:
            TooManyFilesSent: it is one too many.
        """
        self._seen_files += 1
        if self._seen_files > self.most_files:
            raise TooManyFilesSent
        return super().sanitize_file_name(file_name)


def bound_upload(
    request: HttpRequest, *, max_bytes: int, most_files: int | None = None, reader: type[FormReader] = FormReader
) -> None:
    """Prepare `request`, before anything reads its body, so that no more is ever taken in than a form may hold.

    Args:
        request: A form with files, or anything else with a body.
        max_bytes: What it may have, besides `FORM_OVERHEAD_BYTES`.
        most_files: How many files it may have; by default as many as any form.
        reader: How the form is read.

    Raises:
        RequestDataTooBig: the request declares more than that.
    """
    limit = max_bytes + FORM_OVERHEAD_BYTES
    bound_body(request, limit=limit)
    most_files = settings.FORM_MAX_FILES if most_files is None else most_files
    request.parse_file_upload = partial(_parse, request, limit, most_files, reader)  # type: ignore[method-assign]


def bound_body(request: HttpRequest, *, limit: int) -> None:
    """Refuse a body that declares more than `limit` bytes; let one without a declared length be read up to that.

    Raises:
        RequestDataTooBig: the request declares more than that.
    """
    declared = str(request.META.get("CONTENT_LENGTH") or "")
    if declared.isdecimal() and int(declared) > limit:
        raise RequestDataTooBig
    if not declared and request.headers.get("Transfer-Encoding", "").lower() == _CHUNKED:
        # Django takes a body without a declared length for an empty one; the server marks where this one ends.
        request._stream = request.META["wsgi.input"]
        request.META["CONTENT_LENGTH"] = str(limit)


def _parse(  # noqa: PLR0917  # Django calls it with the last two
    request: HttpRequest,
    limit: int,
    most_files: int,
    reader: type[FormReader],
    meta: Mapping[str, Any],
    stream: _Readable,
) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]]:
    """Read the form as `HttpRequest.parse_file_upload` does.

    Raises:
        FormError: it does not end.
        MultiPartParserError: it is no multipart form.
        RequestDataTooBig: it is larger than it may be.
        TooManyFilesSent: it has more files than it may.
    """
    bounded = BoundedStream(stream, limit=limit)
    parser = reader(meta, cast("Any", bounded), request.upload_handlers, request.encoding)
    try:
        fields, files = parser.parse()
    except BaseException:  # whatever it is, no handler is left with half a file
        for handler in request.upload_handlers:
            handler.upload_interrupted()
        raise
    if bounded.tail and parser.closing_boundary not in bounded.tail:
        for file in (file for _field, group in files.lists() for file in group):
            file.close()
        raise FormError(_("The form ends before its closing boundary: it did not arrive whole."))
    return fields, files


class UploadFormParser(BaseParser):
    """Reads the form of an upload, as `bound_upload` prepared it."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles[Any, Any]:
        """Return fields and files."""
        assert parser_context is not None  # noqa: S101  # the framework always gives one
        request: HttpRequest = parser_context["request"]._request  # its documented attribute
        return DataAndFiles(*request.parse_file_upload(request.META, cast("Any", stream)))

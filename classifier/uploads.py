"""How uploads of pictures are read: bounded before and while it arrives, with strict names, never onto the disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Any, Final, Protocol, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from classifier.file_names import find_name_fault

FORM_OVERHEAD_BYTES: Final = 64 * 1024
"""What boundaries, part headers and stray fields may add to a picture."""

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


class PictureUploadHandler(FileUploadHandler):
    """Keeps a file in memory and stops as soon as it is larger than a picture may be."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's signature
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._chunks: list[bytes] = []
        self._size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Take a part of the file.

        Raises:
            RequestDataTooBig: the file is larger than a picture may be.
        """
        self._size += len(raw_data)
        if self._size > settings.IMAGE_MAX_BYTES:
            raise RequestDataTooBig
        self._chunks.append(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        """Hand over the whole file."""
        return InMemoryUploadedFile(
            file=BytesIO(b"".join(self._chunks)),
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=self._size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )


class FormError(MultiPartParserError):
    """A form that cannot be accepted; `str` of it is a sentence for a person, in their language."""


class _StrictMultiPartParser(MultiPartParser):
    """Django's parser, which refuses bad names where Django repairs them silently."""

    _boundary: bytes
    most_files = 0
    _seen_files = 0

    @property
    def closing_boundary(self) -> bytes:
        """What a whole form ends with."""
        return b"--" + self._boundary + b"--"

    def sanitize_file_name(self, file_name: str) -> str | None:
        self._seen_files += 1
        if self._seen_files > self.most_files:
            raise TooManyFilesSent
        fault = find_name_fault(file_name)
        if fault:
            raise FormError(fault)
        return super().sanitize_file_name(file_name)


def bound_form(request: HttpRequest, *, pictures: int, max_bytes: int) -> None:
    """Prepare `request`, before anything reads its body, so that no more is ever taken in than a form may hold.

    Args:
        request: A form with files.
        pictures: How many it may have.
        max_bytes: What they may have together.

    Raises:
        RequestDataTooBig: the request declares more than that.
    """
    bound_upload(
        request,
        limit=max_bytes + pictures * FORM_OVERHEAD_BYTES,
        files=max(pictures + 1, settings.FORM_MAX_FILES),
        handler=PictureUploadHandler(request),
    )


def bound_upload(request: HttpRequest, *, limit: int, files: int, handler: FileUploadHandler) -> None:
    """Prepare `request`, before anything reads its body, so that `handler` alone takes its files, and no more of them.

    Args:
        request: A form with files.
        limit: What it may have altogether, in bytes.
        files: How many files it may have.
        handler: What becomes of each file.

    Raises:
        RequestDataTooBig: the request declares more than that.
    """
    bound_body(request, limit=limit)
    request.upload_handlers = [handler]
    request.parse_file_upload = partial(_parse, request, limit, files)  # type: ignore[method-assign]


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


def _parse(
    request: HttpRequest, limit: int, files_limit: int, meta: Mapping[str, Any], stream: _Readable
) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]]:
    """Read the form as `HttpRequest.parse_file_upload` does.

    Raises:
        FormError: it does not end, or a file's name cannot be accepted.
        MultiPartParserError: it is no multipart form.
        RequestDataTooBig: it is larger than it may be.
    """
    bounded = BoundedStream(stream, limit=limit)
    parser = _StrictMultiPartParser(meta, cast("Any", bounded), request.upload_handlers, request.encoding)
    parser.most_files = files_limit
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

"""How uploads of pictures are read: bounded before and while it arrives, with strict names, never onto the disk."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest

from classifier.file_names import find_name_fault
from training.api.bounded import FORM_OVERHEAD_BYTES, FormError, FormReader, bound_upload


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


class StrictFormReader(FormReader):
    """Refuses bad names where Django repairs them silently."""

    @property
    def most_files(self) -> int:
        """How many files a form may have: one too many is answered with how many may be."""
        return max(super().most_files, settings.BATCH_MAX_IMAGES + 1)

    def sanitize_file_name(self, file_name: str) -> str | None:
        """Look at a file's name before anything of the file is read.

        Raises:
            FormError: it is none that can be accepted.
        """
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
    overhead = (pictures - 1) * FORM_OVERHEAD_BYTES
    bound_upload(request, max_bytes=max_bytes + overhead, reader=StrictFormReader)
    request.upload_handlers = [PictureUploadHandler(request)]

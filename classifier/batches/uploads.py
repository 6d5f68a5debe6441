"""How the pictures of a batch arrive: as one archive, or as many files that become one while they arrive.

Both lie in a file without a name, which goes with this process, however that ends, until the service has stored it.
"""

from __future__ import annotations

import tempfile
import unicodedata
import zipfile
from hashlib import sha256
from io import BytesIO
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest

from classifier.file_names import harmless_name
from classifier.uploads import StrictFormReader
from training.api.bounded import bound_upload

ARCHIVE: Final = "archive"
FILES: Final = "files"
_PART_HEAD_BYTES: Final = 1024  # boundary, headers and name of one file


class BatchReceiver(FileUploadHandler):
    """Takes the field `archive` as it is, and packs the files of the field `files`, uncompressed, into one zip."""

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._packed: IO[bytes] | None = None
        self._zip: zipfile.ZipFile | None = None
        self._names: set[str] = set()
        self._sink: IO[bytes] | None = None

    @property
    def packed(self) -> UploadedFile[Any] | None:
        """The zip of the files that came one by one, once the form was read; None where there were none."""
        if self._packed is None:
            return None
        size = self._packed.seek(0, 2)
        self._packed.seek(0)
        return UploadedFile(file=self._packed, name="pictures.zip", size=size)

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's signature
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._digest = sha256()
        if self.field_name == FILES:
            self._sink = self._begin_member()
        else:
            self._sink = tempfile.TemporaryFile()  # noqa: SIM115  # the UploadedFile closes it

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Take in a piece; no other handler gets it."""
        if self._sink is not None:
            self._sink.write(raw_data)
            self._digest.update(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        """End a file."""
        sink, self._sink = self._sink, None
        if sink is None:
            return None
        if self.field_name == FILES:
            sink.close()
            # Its bytes are in the zip; this tells it from another file, as `Idempotency-Key` needs it.
            return UploadedFile(file=BytesIO(self._digest.digest()), name=self.file_name, size=file_size)
        sink.seek(0)
        return UploadedFile(file=sink, name=self.file_name, content_type=self.content_type, size=file_size)

    def upload_complete(self) -> None:
        """Write the zip's directory."""
        if self._zip is not None:
            self._zip.close()

    def upload_interrupted(self) -> None:
        """Drop what came of a form that did not come whole."""
        for opened in (self._sink, self._zip, self._packed):
            if opened is not None:
                opened.close()
        self._sink = self._zip = self._packed = None

    def _begin_member(self) -> IO[bytes]:
        if self._zip is None:
            self._packed = tempfile.TemporaryFile()  # noqa: SIM115  # the UploadedFile closes it
            self._zip = zipfile.ZipFile(self._packed, "w", zipfile.ZIP_STORED)
        return self._zip.open(zipfile.ZipInfo(self._free_name()), "w")

    def _free_name(self) -> str:
        """Return the file's name made harmless, and unlike those before it on any file system."""
        name = harmless_name(self.file_name or "").lstrip(".") or "picture"
        stem, dot, ending = name.rpartition(".")
        wanted, number = name, 1
        while (folded := unicodedata.normalize("NFC", wanted).casefold()) in self._names:
            number += 1
            wanted = f"{stem} ({number}).{ending}" if stem and dot else f"{name} ({number})"
        self._names.add(folded)
        return wanted


class _BatchFormReader(StrictFormReader):
    """Takes as many files as a batch may have."""

    @property
    def most_files(self) -> int:
        """How many files a form may have."""
        return int(settings.BATCH_FORM_MAX_FILES)


def receive_batch(request: HttpRequest) -> BatchReceiver:
    """Prepare `request`, before anything reads its body, to take in the pictures of a batch.

    Raises:
        RequestDataTooBig: the request declares more than an archive may have.
    """
    receiver = BatchReceiver(request)
    heads = settings.BATCH_FORM_MAX_FILES * _PART_HEAD_BYTES
    bound_upload(request, max_bytes=settings.ARCHIVE_MAX_BYTES + heads, reader=_BatchFormReader)
    request.upload_handlers = [receiver]
    return receiver

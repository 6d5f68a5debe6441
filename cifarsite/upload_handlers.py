"""Where the bytes of a large upload lie while they arrive: in a file that has no name.

Django's own handler gives its temporary file a name, which stays behind when the process is killed; one without a name
goes with the process, however that ends.
"""

from __future__ import annotations

import tempfile
from typing import Any

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler


class NamelessFileUploadHandler(FileUploadHandler):
    """Streams an upload to a temporary file that nobody can find. It takes whatever reaches it."""

    _files = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Django's signature
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._files += 1
        if self._files > settings.FORM_MAX_FILES:  # each keeps a file open
            raise TooManyFilesSent
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # the UploadedFile closes it

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Take in a piece; no other handler gets it."""
        self._file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        """Hand the file over, to be read from its start."""
        self._file.seek(0)
        return UploadedFile(
            file=self._file,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )

    def upload_interrupted(self) -> None:
        """Drop the file of a client that went away."""
        if hasattr(self, "_file"):
            self._file.close()

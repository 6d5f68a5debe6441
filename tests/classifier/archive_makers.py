"""Archives of pictures for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

from django.core.files.uploadedfile import SimpleUploadedFile

from cifarsite.accounts.models import User
from classifier.batches.services import request_batch
from classifier.choices import Source
from classifier.models import BatchJob
from tests.tiny_model import picture

BROKEN = picture()[:50]


def zip_of(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tar_of(files: Mapping[str, bytes], *, mode: Literal["w", "w:gz", "w:xz"] = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    """Return so many pictures, of the ten classes in turn."""
    return {f"{number:05}.png": picture(number % 10) for number in range(count)}


def request(owner: User, files: Mapping[str, bytes] | bytes, *, name: str = "my pictures.zip") -> BatchJob:
    """Queue a batch of pictures, or of an archive."""
    data = files if isinstance(files, bytes) else zip_of(files)
    return request_batch(owner=owner, upload=SimpleUploadedFile(name, data), name=name, source=Source.API)


def answers_of(job: BatchJob) -> list[tuple[Any, ...]]:
    """Return place, class and error of everything that was answered."""
    return list(job.items.order_by("index").values_list("index", "class_key", "error_code"))

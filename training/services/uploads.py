"""Keeping what people send until a worker has done with it: under names of our own, in the store."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from training.engine.package import sync
from training.exceptions import ServiceError, StoreError
from training.storage import UPLOADS, artifacts
from training.store import forget_copy, publish, remove, remove_local


def _accept(_path: Path) -> None:
    """Take any file."""


def store_upload(upload: UploadedFile[Any], *, check: Callable[[Path], None] = _accept) -> str:
    """Write an upload under a name of our own, synced to the disk, and publish it.

    Args:
        upload: What was sent.
        check: Looks at the local file before others can see it; what it raises is raised, and no file is left.

    Returns:
        Its location.

    Raises:
        ServiceError: it cannot be written.
    """
    location = f"{UPLOADS}/{secrets.token_hex(16)}"
    target = artifacts(location)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        check(target)
        sync(target)
        publish(location)
    except OSError as error:
        drop_upload(location)
        raise ServiceError(_("The archive could not be stored: %(why)s.") % {"why": error.strerror}) from error
    except BaseException:  # whatever `check` has against it
        drop_upload(location)
        raise
    forget_copy(location)
    return location


def drop_upload(location: str) -> None:
    """Remove an upload that has no row; what a store that is away keeps of it goes with the daily cleaning."""
    remove_local(location)
    with contextlib.suppress(StoreError):
        remove(location)

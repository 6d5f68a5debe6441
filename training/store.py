"""Keeping artifacts where other machines find them: by configuration in the local folder, or in an S3-compatible store.

A *location* names a file or a folder under the artifacts root, such as `models/<sha256>`; it never changes its content
(a dataset's report of checks excepted), so that a copy is as good as the original. Work happens in local folders. What
must outlive the machine is published, and fetched where it is missing.

Where the folder is the store, nothing is copied: publishing does nothing, and fetching returns the path.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from django.conf import settings
from django.core.files.storage import storages

from training.storage import CHECKPOINTS, DATASETS, DRAFTS, EVALUATIONS, INDEX, MODELS, RUNS, UPLOADS, Stored, artifacts

if TYPE_CHECKING:
    from training.remote_store import RemoteStore

_PATTERNS: Final = {
    DATASETS: "*",
    MODELS: "*",
    EVALUATIONS: "*",
    UPLOADS: "*",
    RUNS: f"*/*/{CHECKPOINTS}/step-*",
}
"""Where under each folder the locations lie that are published."""


def is_remote() -> bool:
    """Whether artifacts are kept elsewhere, so that publishing and fetching take time and can fail."""
    return bool(settings.ARTIFACTS_URL)


def publish(location: str) -> None:
    """Put what lies locally at `location` into the store; complete there or not at all. Safe to repeat.

    Raises:
        OSError: it cannot be read or stored; ENOSPC when the store is full.
    """
    if is_remote():
        _remote().publish(location)


def fetch(location: str) -> Path:
    """Return the local path of `location`, brought from the store first where it is missing.

    What was brought has the hashes with which it was published; whether it is what a row names is for the caller.

    Raises:
        OSError: the store does not have it (FileNotFoundError), holds it damaged, or does not answer. Only where the
            store is remote: locally, a path is a path.
    """
    path = artifacts(location)
    if is_remote() and not path.exists():
        _remote().fetch(location)
    return path


def refresh(location: str) -> Path:
    """Return the local path of `location` like `fetch`, with the files that were published anew since.

    Raises:
        OSError: as for `fetch`.
    """
    path = fetch(location)
    if is_remote():
        _remote().refresh(location)
    return path


@contextmanager
def lend(location: str) -> Iterator[Path]:
    """Give a look at what the store has at `location`, past any copy on this machine, for as long as the block lasts.

    Raises:
        OSError: as for `fetch`.
    """
    if is_remote():
        with _remote().lend(location) as path:
            yield path
    else:
        yield artifacts(location)


def forget_copy(location: str) -> None:
    """Remove the local copy of what the store keeps elsewhere, so that the next use fetches it again."""
    if is_remote():
        remove_local(location)


def remove(location: str) -> None:
    """Remove `location` from the store and from this machine. Safe to repeat.

    Raises:
        OSError: the store does not answer.
    """
    if is_remote():
        _remote().remove(location)
    remove_local(location)


def remove_local(location: str) -> None:
    """Remove the file or folder at `location` from this machine."""
    path = artifacts(location)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    if is_remote():
        artifacts(INDEX, f"{location}.json").unlink(missing_ok=True)


def is_stored(location: str) -> bool:
    """Whether the store has `location`, without a look inside.

    Raises:
        OSError: the store does not answer.
    """
    return _remote().has(location) if is_remote() else artifacts(location).exists()


def list_stored(folder: str, *, under: str = "") -> list[Stored]:
    """Return what the store has in one of its folders, what was published by halves included.

    Args:
        folder: `datasets`, `models`, `evaluations`, `uploads` or `runs` (of which the checkpoints are listed).
        under: Beginning of the names wanted, such as a run's number and a slash.

    Raises:
        OSError: the store does not answer.
    """
    if is_remote():
        return _remote().list_stored(folder, depth=1 + _PATTERNS[folder].count("/"), under=under)
    found = artifacts(folder).glob(_PATTERNS[folder])
    names = ((path.relative_to(artifacts()).as_posix(), path) for path in sorted(found))
    return [describe(name) for name, _path in names if name.startswith(f"{folder}/{under}")]


def describe(location: str) -> Stored:
    """Measure the file or folder that lies locally at `location`; one that is gone is 0 bytes old and new."""
    size, newest = 0, 0.0
    for path in _walk(artifacts(location)):
        try:
            found = path.lstat()
        except FileNotFoundError:  # removed while we look
            continue
        size += 0 if path.is_dir() else found.st_size
        newest = max(newest, found.st_mtime)
    return Stored(location=location, size_bytes=size, age_seconds=max(0.0, time.time() - newest))


def check_access() -> None:
    """Make sure that a remote store can be reached with what is configured.

    Raises:
        OSError: it cannot; `strerror` says what to correct.
    """
    if is_remote():
        _remote().check_access()


def _walk(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def _remote() -> RemoteStore:
    from training.remote_store import ArtifactStorage, RemoteStore  # noqa: PLC0415 - boto3 is 30 MB locally for nothing

    return RemoteStore(cast("ArtifactStorage", storages["default"]), root=artifacts(), drafts=artifacts(DRAFTS))

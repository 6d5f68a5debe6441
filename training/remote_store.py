"""Artifacts in an S3-compatible store, through Django's STORAGES, with a local folder as cache.

The files of a location lie under its name, and `index/<location>.json` names them with hash and size. The index is
written last and removed first: what has none is not there, so nothing is ever served by halves.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

from training.engine.package import hash_file, sync
from training.exceptions import DamagedArtifactError, StoreError
from training.storage import INDEX, Stored

Entry = dict[str, Any]
"""`sha256` (hexadecimal) and `bytes` of one file."""

# Codes with which stores say that no more is taken: MinIO, Ceph, and those that answer as WebDAV does.
_FULL: Final = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "507"}
_MISSING: Final = {"NoSuchKey", "404", "NotFound"}
_REFUSED: Final = {
    "403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
}  # fmt: skip
_SCHEMA: Final = 1


class ArtifactStorage(S3Storage):
    """Django's storage of artifacts, with patience that fits a supervisor."""

    def get_default_settings(self) -> dict[str, Any]:
        """Return the library's defaults with ours."""
        style = "path" if settings.ARTIFACTS_S3_ENDPOINT else "auto"  # of other stores few have a name per bucket
        config = Config(
            connect_timeout=5,  # seconds
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": style},
            request_checksum_calculation="when_required",  # other stores may not know the newer kinds; we have sha256
            response_checksum_validation="when_required",
        )
        return {**super().get_default_settings(), "client_config": config, "file_overwrite": True}


class RemoteStore:
    """The store of artifacts.

    Args:
        storage: Django's.
        root: The local folder that mirrors it as far as this machine needed.
        drafts: A local folder on the same file system, for what is not complete yet.
    """

    def __init__(self, storage: ArtifactStorage, *, root: Path, drafts: Path) -> None:
        self._storage = storage
        self._root = root
        self._drafts = drafts

    def publish(self, location: str) -> None:
        """Upload what the store does not have of a local file or folder, then its index.

        Raises:
            OSError: a file cannot be read, or the store does not take it.
        """
        path = self._root / location
        present = {name: _describe_file(path / name) for name in _list_files(path)}
        known = self._read_index(location) if self.has(location) else {}
        if present == known:
            return
        for name, entry in present.items():
            if known.get(name) != entry:
                with _explained(), (path / name).open("rb") as file:
                    self._storage.save(str(PurePosixPath(location, name)), File(file))
        self._write_index(location, present)

    def fetch(self, location: str) -> None:
        """Download a location to its place under the root: complete, with the hashes of its index, or not at all.

        Raises:
            OSError: it is not in the store (FileNotFoundError) or damaged there, or it does not fit on the disk.
        """
        index = self._read_index(location)
        target = self._root / location
        with self._download_all(location, index) as draft:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.rename(target)
            except OSError:
                if not target.exists():  # otherwise another process was quicker with the same bytes
                    raise
            sync(target.parent)
        self._remember(location, index)

    @contextmanager
    def lend(self, location: str) -> Iterator[Path]:
        """Download a location to a folder of its own, which is gone afterwards.

        Raises:
            OSError: as for `fetch`.
        """
        with self._download_all(location, self._read_index(location)) as draft:
            yield draft

    def refresh(self, location: str) -> None:
        """Bring the files of a local copy up to date that were published anew since it was fetched.

        Raises:
            OSError: as for `fetch`.
        """
        index = self._read_index(location)
        known = self._recall(location)
        with self._make_draft() as folder:
            for name, entry in index.items():
                if known.get(name) != entry:
                    draft = folder / "content" / name
                    self._download(str(PurePosixPath(location, name)), draft, entry)
                    draft.replace(self._root / location / name)
        self._remember(location, index)

    def remove(self, location: str) -> None:
        """Remove a location from the store, its index first."""
        with _explained():
            self._storage.bucket.Object(self._key(f"{INDEX}/{location}.json")).delete()
            self._storage.bucket.Object(self._key(location)).delete()
            for found in self._objects(f"{location}/"):
                found.delete()

    def has(self, location: str) -> bool:
        """Whether a location was published."""
        with _explained():
            return bool(self._storage.exists(f"{INDEX}/{location}.json"))

    def list_stored(self, folder: str, *, depth: int, under: str = "") -> list[Stored]:
        """Return what lies in a folder, files without an index included.

        Args:
            folder: Its name.
            depth: How many parts a location has after the folder's name.
            under: Beginning of the names wanted.
        """
        sizes: dict[str, int] = {}
        newest: dict[str, datetime] = {}
        with _explained():
            for found in self._objects(f"{folder}/{under}"):
                parts = PurePosixPath(found.key).relative_to(self._storage.location).parts
                location = "/".join(parts[: 1 + depth])
                sizes[location] = sizes.get(location, 0) + found.size
                newest[location] = max(newest.get(location, found.last_modified), found.last_modified)
        now = time.time()
        return [
            Stored(location=location, size_bytes=size, age_seconds=max(0.0, now - newest[location].timestamp()))
            for location, size in sorted(sizes.items())
        ]

    def check_access(self) -> None:
        """Ask for the bucket.

        Raises:
            StoreError: it does not exist, or we may not use it.
        """
        with _explained():
            self._storage.connection.meta.client.head_bucket(Bucket=self._storage.bucket_name)

    def _key(self, name: str) -> str:
        return str(PurePosixPath(self._storage.location, name))

    def _objects(self, prefix: str) -> Any:  # noqa: ANN401 - boto3's collections have no types
        whole = f"{self._storage.location}/{prefix}" if self._storage.location else prefix
        return self._storage.bucket.objects.filter(Prefix=whole)

    def _read_index(self, location: str) -> dict[str, Entry]:
        with _explained():
            text = self._storage.bucket.Object(self._key(f"{INDEX}/{location}.json")).get()["Body"].read()
        try:
            return _parse_index(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedArtifactError(f"The store's index of {location} is damaged") from error

    def _write_index(self, location: str, files: Mapping[str, Entry]) -> None:
        with _explained():
            self._storage.save(f"{INDEX}/{location}.json", ContentFile(_format_index(files)))
        self._remember(location, files)

    @contextmanager
    def _download_all(self, location: str, index: Mapping[str, Entry]) -> Iterator[Path]:
        with self._make_draft() as folder:
            draft = folder / PurePosixPath(location).name  # a package is known by its folder's name
            for name, entry in index.items():
                self._download(str(PurePosixPath(location, name)), draft / name, entry)
            yield draft

    def _download(self, name: str, target: Path, entry: Entry) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _explained(), target.open("xb") as file:
            self._storage.bucket.Object(self._key(name)).download_fileobj(file)
            file.flush()
            os.fsync(file.fileno())
        if _describe_file(target) != entry:
            raise DamagedArtifactError(f"{name} in the store is not the file that was published")

    def _remember(self, location: str, files: Mapping[str, Entry]) -> None:
        """Keep the index of a local copy beside it, to tell later which files are older than the store's."""
        target = self._root / INDEX / f"{location}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._make_draft() as folder:
            (folder / "index.json").write_bytes(_format_index(files))
            (folder / "index.json").replace(target)

    def _recall(self, location: str) -> dict[str, Entry]:
        try:
            return _parse_index((self._root / INDEX / f"{location}.json").read_bytes())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # then every file is fetched again

    @contextmanager
    def _make_draft(self) -> Iterator[Path]:
        folder = self._drafts / secrets.token_hex(8)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _list_files(path: Path) -> list[str]:
    """Name the files of a folder, relative to it; a file is "" of itself."""
    if path.is_dir():
        return sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    return [""]


def _describe_file(path: Path) -> Entry:
    return {"sha256": hash_file(path), "bytes": path.stat().st_size}


def _format_index(files: Mapping[str, Entry]) -> bytes:
    return json.dumps({"schema": _SCHEMA, "files": files}, sort_keys=True).encode()


def _parse_index(text: bytes) -> dict[str, Entry]:
    """Read an index.

    Raises:
        ValueError: It is none, or names a file outside its location.
    """
    index = json.loads(text)
    if index["schema"] != _SCHEMA:
        message = "unknown schema"
        raise ValueError(message)
    files: dict[str, Entry] = index["files"]
    for name, entry in files.items():
        if name.startswith("/") or ".." in PurePosixPath(name).parts or set(entry) != {"sha256", "bytes"}:
            message = f"bad entry {name!r}"
            raise ValueError(message)
    return files


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what boto3 raises into an OSError that says what to do.

    Raises:
        FileNotFoundError: the store has no such object.
        OSError: ENOSPC when the store takes no more.
        StoreError: anything else.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        if "NoSuchBucket" in code or (error.operation_name == "HeadBucket" and code in _MISSING):
            raise StoreError("The bucket that ARTIFACTS_URL names does not exist") from error
        if code in _MISSING:
            raise FileNotFoundError(errno.ENOENT, "The store does not have this file") from error
        if _FULL & {code, status}:
            raise OSError(errno.ENOSPC, "The store of artifacts is full") from error
        if code in _REFUSED:
            message = "The store of artifacts refuses us: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and its rights"
            raise StoreError(message) from error
        raise StoreError(f"The store of artifacts answered {code or status}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        message = "There are no credentials for ARTIFACTS_URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise StoreError(message) from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreError(f"The store of artifacts does not answer ({type(error).__name__})") from error

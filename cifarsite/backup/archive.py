"""The archive: an uncompressed tar of regular files whose last member names all others with size and hash.

Read it as somebody else's: nothing of it is written anywhere before every member is known to be what the manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

from training.engine.package import CHUNK_BYTES, sync

MANIFEST: Final = "manifest.json"
SCHEMA: Final = 1
_MANIFEST_MOST_BYTES: Final = 256 * 1024 * 1024
_NAME: Final = re.compile(
    r"database/[a-z0-9_]+\.[a-z0-9_]+\.jsonl|(datasets|models|runs|uploads)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+"
)

Manifest = Mapping[str, Any]
"""`schema`, `created_at`, `migrations` (pairs of app and name), and `members`: `sha256` and `bytes` by name."""


class BackupError(Exception):
    """A backup cannot be made or restored; the message is one sentence that says why."""


class ArchiveWriter:
    """Writes an archive under a temporary name; `seal` gives it its own.

    Args:
        file: Where to write.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, path: Path) -> None:
        """Copy a file into the archive.

        Raises:
            BackupError: it cannot be called so.
            OSError: it cannot be read or written.
        """
        if not _NAME.fullmatch(name):
            raise BackupError(f"{name!r} is not a name that a backup may hold.")
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            reader = _HashingReader(source)
            self._tar.addfile(_make_header(name, size), reader)
        self.members[name] = {"sha256": reader.hexdigest(), "bytes": size}

    def seal(self, **facts: object) -> None:
        """Write the manifest, end the archive and force it onto the disk.

        Args:
            **facts: What the manifest tells beside the members.
        """
        text = json.dumps({"schema": SCHEMA, **facts, "members": self.members}, indent=1).encode()
        self._tar.addfile(_make_header(MANIFEST, len(text)), BytesIO(text))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def write_archive(target: Path) -> Iterator[ArchiveWriter]:
    """Write an archive that appears at `target` complete, at the end of the block, or not at all.

    Only its owner may read it: it holds password hashes.

    Raises:
        BackupError: something is there already.
        OSError: it cannot be written.
    """
    if target.exists():
        raise BackupError(f"{target} exists already; choose another name.")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield ArchiveWriter(file)
        try:
            os.link(draft, target)  # unlike a renaming, this never replaces what somebody put there meanwhile
        except FileExistsError as error:
            raise BackupError(f"{target} exists already; choose another name.") from error
        sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def verify_archive(path: Path) -> Manifest:
    """Read an archive from end to end and return its manifest.

    Raises:
        BackupError: it is no backup, of another schema, incomplete or altered.
        OSError: it cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    manifest: Manifest | None = None
    with _opened(path) as tar:
        for member in tar:
            if manifest is not None or not member.isreg() or member.name in found:
                raise BackupError(f"{path} is not a backup: {member.name!r} does not belong there.")
            if member.name == MANIFEST:
                manifest = _read_manifest(tar, member)
            elif _NAME.fullmatch(member.name):
                found[member.name] = {"sha256": _hash_member(tar, member), "bytes": member.size}
            else:
                raise BackupError(f"{path} is not a backup: it has a member {member.name!r}.")
    if manifest is None:
        raise BackupError(f"{path} is incomplete: its end is missing.")
    if manifest["members"] != found:
        name = min(name for name in {*found, *manifest["members"]} if manifest["members"].get(name) != found.get(name))
        raise BackupError(f"{path} is damaged: {name} is not what was saved.")
    return manifest


def extract(path: Path, folder: Path, *, manifest: Manifest) -> None:
    """Write the members of a verified archive under `folder`, and verify each once more.

    Raises:
        BackupError: the archive was changed since it was verified.
        OSError: a file cannot be written.
    """
    with _opened(path) as tar:
        for member in tar:
            if member.name == MANIFEST:
                continue
            entry = manifest["members"].get(member.name)
            source = tar.extractfile(member) if member.isreg() and entry is not None else None
            if source is None:
                raise BackupError(f"{path} was changed while it was read.")
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            reader = _HashingReader(source)
            with target.open("xb") as file:
                while chunk := reader.read(CHUNK_BYTES):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if reader.hexdigest() != entry["sha256"]:
                raise BackupError(f"{path} was changed while it was read.")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive; what is wrong with it becomes a `BackupError`."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise BackupError(f"{path} is damaged or not a backup: {error}.") from error


def _read_manifest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    source = tar.extractfile(member)
    if source is None or member.size > _MANIFEST_MOST_BYTES:
        raise BackupError("The backup's manifest cannot be read.")
    try:
        manifest = json.loads(source.read())
        schema, members = manifest["schema"], dict(manifest["members"])
        pairs = [(str(app), str(name)) for app, name in manifest["migrations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError("The backup's manifest is damaged.") from error
    if schema != SCHEMA:
        raise BackupError(f"The backup follows schema {schema}; this version of the site reads schema {SCHEMA}.")
    return {**manifest, "members": members, "migrations": pairs}


def _hash_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source = tar.extractfile(member)
    if source is None:
        raise BackupError(f"The backup's member {member.name!r} cannot be read.")
    reader = _HashingReader(source)
    while reader.read(CHUNK_BYTES):
        pass
    return reader.hexdigest()


def _make_header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o600
    return header


class _HashingReader:
    """Reads a file and hashes what passes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._digest.update(chunk)
        return chunk

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

"""Model packages that come from elsewhere, and those that are taken elsewhere.

Nothing of a foreign package is used before all of it was checked: the archive, the three files, the manifest's every
value, the graph, the hashes, and the answers to the golden samples. What is refused leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from training.engine.archive_rules import ArchiveError, ArchiveLimits, SourceEntry
from training.engine.archives import iterate_archive, iterate_folder
from training.engine.constants import MANIFEST_NAME, ONNX_NAME, PACKAGE_FILES
from training.engine.exceptions import PackageError
from training.engine.onnx_graph import check_graph
from training.engine.package import CHUNK_BYTES, PackageManifest, verify_package
from training.engine.package_schema import check_manifest, parse_strictly
from training.exceptions import PackageRefusedError, PackageTooLargeError, ServiceError
from training.models import ModelVersion
from training.package_texts import explain_package_refusal
from training.registry import record_import, store_package
from training.services.gate import require_replayed_apart
from training.services.room import LEAST_FREE_BYTES, require_free_bytes
from training.storage import DRAFTS, artifacts

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

_NAMES: Final = (MANIFEST_NAME, *PACKAGE_FILES)
_MOST_ENTRIES: Final = 16  # three files, their folder, and what a desktop adds
_DIRECTORY_BYTES: Final = 64 * 1024  # of a zip's list of them
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same bytes whenever a package is exported

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportedPackage:
    """What became of a package.

    Attributes:
        version: Its version, a candidate when it is new.
        is_new: Whether it was not known before.
    """

    version: ModelVersion
    is_new: bool


def import_package(*, source: Path, by: User | None) -> ImportedPackage:
    """Take in a package from an archive or a folder of this machine.

    Args:
        source: A `.zip`, `.tar`, `.tar.gz` or `.tar.xz` with the three files, alone or in one folder; or that folder.
        by: Who asks; None for the command line.

    Raises:
        PackageRefusedError: it is no package that can be trusted to answer; the message says why.
        ServiceError: it cannot be read or stored.
    """
    return register_import(manifest=_take_in(source), by=by)


def import_upload(*, upload: UploadedFile[Any], by: User | None) -> ImportedPackage:
    """Take in a package that was sent.

    Raises:
        PackageRefusedError: as for `import_package`.
        ServiceError: it cannot be stored.
    """
    return register_import(manifest=store_upload(upload), by=by)


def store_upload(upload: UploadedFile[Any]) -> PackageManifest:
    """Check a package that was sent and keep its files, in the seconds that this takes; `register_import` is next.

    Raises:
        PackageRefusedError: as for `import_package`.
        ServiceError: it cannot be stored.
    """
    size = upload.size or 0
    if size > settings.PACKAGE_MAX_BYTES:
        raise _too_large()
    require_free_bytes(LEAST_FREE_BYTES + 3 * size)  # as it came, unpacked, and kept
    draft = artifacts(DRAFTS, secrets.token_hex(16))
    try:
        draft.mkdir(parents=True)
        with (draft / "upload").open("xb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        return _take_in(draft / "upload")
    except OSError as error:
        raise ServiceError(_("The package could not be stored: %(why)s.") % {"why": error.strerror}) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def register_import(*, manifest: PackageManifest, by: User | None) -> ImportedPackage:
    """Make a version of a package that was checked and kept; the files of one that gets none go with the cleaning."""
    version, is_new = record_import(manifest, by=by)
    if is_new:
        logger.info("%s was imported by %s", version, by or "the command line")
    return ImportedPackage(version=version, is_new=is_new)


def iterate_export(version: ModelVersion) -> Iterator[bytes]:
    """Verify a version's package, then return the parts of a zip archive that holds it, the same bytes each time.

    Raises:
        ServiceError: its files are not those that were registered. Nothing was returned by then.
    """
    try:
        package = verify_package(version.path)
    except (PackageError, OSError) as error:
        logger.warning("%s cannot be exported: %s", version, error)
        message = _("%(version)s cannot be exported: its files are not those that were registered.")
        raise ServiceError(message % {"version": version}) from error
    return _zip_parts(package)


def export_package(*, version: ModelVersion, target: Path) -> None:
    """Write a version's package to a zip archive.

    Args:
        version: The version.
        target: The file; it must not exist yet.

    Raises:
        ServiceError: the package is damaged, or the file exists or cannot be written.
    """
    parts = iterate_export(version)
    try:
        with target.open("xb") as file:
            try:
                file.writelines(parts)
            except OSError:
                target.unlink()
                raise
    except OSError as error:
        raise ServiceError(
            _("%(path)s cannot be written: %(why)s.") % {"path": target, "why": error.strerror}
        ) from error


def _take_in(source: Path) -> PackageManifest:
    draft = artifacts(DRAFTS, secrets.token_hex(16))
    try:
        package = _check(_unpack(source, draft))
        require_replayed_apart(package.path)
        return store_package(package.path)
    except ArchiveError as error:
        raise (_too_large() if error.too_large else _refusal(error)) from error
    except PackageError as error:
        raise _refusal(error) from error
    except OSError as error:
        raise ServiceError(_("The package cannot be read or stored: %(why)s.") % {"why": error.strerror}) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(source: Path, draft: Path) -> Path:
    """Write the three files of a source into `draft`; returns their folder, named after the manifest's hash.

    Raises:
        ArchiveError: the source is no archive that is read.
        PackageError: it holds anything but the three files.
        OSError: it cannot be read, or the files cannot be written.
    """
    files = draft / "files"
    files.mkdir(parents=True)
    parents = set()
    for entry in _iterate(source):
        parent, _slash, name = entry.name.rpartition("/")
        parents.add(parent)
        if name not in _NAMES or len(parents) > 1 or "/" in parent:
            raise PackageError(f"It holds '{entry.name}'; a model package holds {', '.join(_NAMES)}, in one folder.")
        with (files / name).open("xb") as file:
            file.write(entry.data)
    missing = [name for name in _NAMES if not (files / name).exists()]
    if missing:
        raise PackageError(f"It lacks {', '.join(missing)}.")
    package = draft / hashlib.sha256((files / MANIFEST_NAME).read_bytes()).hexdigest()
    files.rename(package)
    return package


def _iterate(source: Path) -> Iterator[SourceEntry]:
    most = settings.PACKAGE_MAX_BYTES
    limits = ArchiveLimits(
        max_entries=_MOST_ENTRIES,
        max_entry_bytes=most,
        named_entry_bytes={},
        max_total_bytes=most,
        max_directory_bytes=_DIRECTORY_BYTES,
    )
    if source.is_dir():
        return iterate_folder(source, limits=limits)
    if source.stat().st_size > most:
        raise ArchiveError("The archive is too large.", too_large=True)
    return iterate_archive(source, limits=limits)


def _check(folder: Path) -> PackageManifest:
    """Check everything that can be checked without running the model.

    Raises:
        PackageError: something is wrong.
        OSError: a file cannot be read.
    """
    manifest = parse_strictly((folder / MANIFEST_NAME).read_bytes())
    check_manifest(manifest)
    try:
        package = verify_package(folder)
    except PackageError as error:  # whose sentence names our own folder
        raise PackageError("A file was altered: its hash or its size differs from the manifest's.") from error
    check_graph(folder / ONNX_NAME, classes=len(package.class_keys))
    return package


def _refusal(error: PackageError | ArchiveError) -> PackageRefusedError:
    return PackageRefusedError(_("The package is refused. %(why)s") % {"why": explain_package_refusal(error)})


def _too_large() -> PackageTooLargeError:
    limit = filesizeformat(settings.PACKAGE_MAX_BYTES)
    return PackageTooLargeError(_("The package is larger than %(limit)s, the most that is taken.") % {"limit": limit})


class _Parts:
    """What a zip archive is written to, to be taken away piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take in a piece."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def take(self) -> bytes:
        """Return what came since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _zip_parts(package: PackageManifest) -> Iterator[bytes]:
    parts = _Parts()
    with zipfile.ZipFile(parts, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it needs no more
        for name in _NAMES:
            info = zipfile.ZipInfo(f"{package.sha256}/{name}", date_time=_EPOCH)
            info.external_attr = 0o644 << 16
            with (package.path / name).open("rb") as stream, archive.open(info, "w") as entry:
                while chunk := stream.read(CHUNK_BYTES):
                    entry.write(chunk)
                    yield parts.take()
    yield parts.take()

"""Model packages that may serve: verified, copied under the artifacts root, and known to the database."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.engine.exceptions import PackageError
from training.engine.package import PackageManifest, sync, verify_package
from training.models import ModelVersion, TrainingRun
from training.storage import MODELS, artifacts
from training.store import publish

if TYPE_CHECKING:
    from cifarsite.accounts.models import User

logger = logging.getLogger(__name__)


def register_package(source: Path, *, run: TrainingRun | None = None) -> ModelVersion:
    """Verify a package, keep a copy and return its version, a candidate when it is new. Safe to repeat.

    Args:
        source: Directory of a package.
        run: The run that made it.

    Raises:
        PackageError: The package is incomplete or altered.
        OSError: The copy cannot be written.
    """
    return record_version(store_package(source), run=run)


def store_package(source: Path) -> PackageManifest:
    """Verify a package and bring it to `models/<sha256>` in the store, complete or not at all.

    A copy that is there already is kept, unless it was damaged: then it is replaced.

    Raises:
        PackageError: The package is incomplete or altered.
        OSError: The copy cannot be written or stored.
    """
    manifest = _keep_copy(verify_package(source))
    publish(f"{MODELS}/{manifest.sha256}")
    return manifest


def record_version(manifest: PackageManifest, *, run: TrainingRun | None = None) -> ModelVersion:
    """Return the version of a stored package, making its row when there is none."""
    version, _created = _find_or_make(manifest, run=run)
    return version


def record_import(manifest: PackageManifest, *, by: User | None) -> tuple[ModelVersion, bool]:
    """Return the version of a stored package that came from elsewhere, and whether it is new."""
    return _find_or_make(manifest, imported_by=by)


def _find_or_make(manifest: PackageManifest, **made_by: Any) -> tuple[ModelVersion, bool]:  # noqa: ANN401
    return ModelVersion.objects.get_or_create(
        package_sha256=manifest.sha256,
        defaults={
            "location": f"{MODELS}/{manifest.sha256}",
            "manifest": dict(manifest.raw),
            "test_accuracy": manifest.accuracy,
            **made_by,
        },
    )


def _keep_copy(manifest: PackageManifest) -> PackageManifest:
    target = artifacts(MODELS, manifest.sha256)
    if not target.exists():
        return _copy(manifest, target)
    try:
        return verify_package(target)
    except PackageError as error:
        logger.warning("Replacing a damaged copy of a model package: %s", error)
        damaged = target.with_name(f".damaged-{secrets.token_hex(4)}")
        target.rename(damaged)
        shutil.rmtree(damaged)
        return _copy(manifest, target)


def _copy(manifest: PackageManifest, target: Path) -> PackageManifest:
    """Copy a verified package to `target` by way of a temporary name, synced to the disk, and verify the copy."""
    draft = target.with_name(f".draft-{secrets.token_hex(8)}") / manifest.sha256
    draft.parent.mkdir(parents=True)
    try:
        shutil.copytree(manifest.path, draft, copy_function=shutil.copyfile)
        for path in (*draft.iterdir(), draft):
            sync(path)
        verify_package(draft)
        try:
            draft.rename(target)
        except OSError:
            if not target.exists():  # otherwise somebody else was quicker with the same bytes
                raise
        sync(target.parent)
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
    return dataclasses.replace(manifest, path=target)

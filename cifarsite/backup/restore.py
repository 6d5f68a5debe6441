"""Restoring a backup on an empty host: all of it, verified before anything is written, or nothing."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from django.db import transaction

from cifarsite.backup.archive import BackupError, Manifest, extract, verify_archive
from cifarsite.backup.rows import find_rows, list_known, load_rows
from cifarsite.bootstrap import StartError, check_folders, prepare_database
from training.choices import JobStatus
from training.job_kinds import job_models, uploads_in_use
from training.models import Dataset, Evaluation, ModelVersion, TrainingRun
from training.storage import DATASETS, DRAFTS, EVALUATIONS, MODELS, RUNS, UPLOADS, artifacts
from training.store import list_stored, publish, remove

_FOLDERS = (DATASETS, MODELS, EVALUATIONS, RUNS, UPLOADS)


def restore_backup(path: Path) -> Manifest:
    """Bring database and artifacts to what a backup has. Both have to be empty.

    Jobs that were running are given back to the queue: their workers are elsewhere.

    Returns:
        The backup's manifest.

    Raises:
        BackupError: the archive is damaged or of another version, or there is something already.
        OSError: a file cannot be read or written.
    """
    manifest = verify_archive(path)
    _require_same_version(manifest)
    try:
        check_folders()
        _require_no_artifacts()
        prepare_database()
    except StartError as error:
        raise BackupError(str(error)) from error
    rows = find_rows()
    if rows:
        raise BackupError(f"The database is not empty: it has {rows}. Restore into a new one.")
    draft = artifacts(DRAFTS, f"restore-{secrets.token_hex(8)}")
    try:
        extract(path, draft, manifest=manifest)
        with _undone_on_failure(manifest), transaction.atomic():
            load_rows(draft / "database")
            _give_back_jobs()
            _place_files(draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _require_same_version(manifest: Manifest) -> None:
    """Refuse a backup whose tables are not this version's.

    Raises:
        BackupError: it is one.
    """
    made, known = set(manifest["migrations"]), set(list_known())
    if made - known:
        name = ".".join(min(made - known))
        message = f"The backup was made by a newer version of the site (migration {name}): update the code first."
        raise BackupError(message)
    if known - made:
        name = ".".join(min(known - made))
        message = (
            f"The backup was made by an older version of the site (before migration {name}): "
            "restore it with that version, then update."
        )
        raise BackupError(message)


def _require_no_artifacts() -> None:
    for folder in _FOLDERS:
        local = artifacts(folder)
        if (local.is_dir() and any(local.iterdir())) or list_stored(folder):
            raise BackupError(f"The artifacts are not empty: {folder} has something. Restore into a new folder.")


def _give_back_jobs() -> None:
    for model in job_models():
        for job in model.objects.filter(status=JobStatus.RUNNING):
            job.release()


def _place_files(draft: Path) -> None:
    """Move the files to their places, and publish what rows name."""
    for folder in _FOLDERS:
        if (draft / folder).is_dir():
            if artifacts(folder).is_dir():
                artifacts(folder).rmdir()
            (draft / folder).rename(artifacts(folder))
    for location in _list_named():
        if artifacts(location).exists():
            publish(location)


def _list_named() -> list[str]:
    checkpoints = TrainingRun.objects.exclude(checkpoint="").values_list("checkpoint", flat=True)
    rows = (Dataset.objects.all(), ModelVersion.objects.all(), Evaluation.objects.with_files())
    named = (location for found in rows for location in found.values_list("location", flat=True))
    return sorted({*checkpoints, *uploads_in_use(), *named})


@contextmanager
def _undone_on_failure(manifest: Manifest) -> Iterator[None]:
    """Remove the files that were placed when the block does not end well; its transaction takes care of the rows."""
    try:
        yield
    except BaseException:
        for folder in {PurePosixPath(name).parts[0] for name in manifest["members"]} & set(_FOLDERS):
            shutil.rmtree(artifacts(folder), ignore_errors=True)
            for stored in list_stored(folder):
                remove(stored.location)
        raise

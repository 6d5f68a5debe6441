"""Making a backup while the site runs: the rows as they are at one moment, then the files that they name."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from django.utils import timezone

from cifarsite.backup.archive import ArchiveWriter, BackupError, write_archive
from cifarsite.backup.rows import dump_rows, list_applied, snapshot
from training.job_kinds import uploads_in_use
from training.models import Dataset, Evaluation, ModelVersion, TrainingRun
from training.store import fetch, lend

# A run under way replaces its checkpoints; the moment is chosen again when it did so just then.
_TRIES: Final = 20


def create_backup(target: Path) -> int:
    """Save the database and the artifacts that its rows name.

    Args:
        target: The archive to make; its folder has to exist.

    Returns:
        How many bytes it has.

    Raises:
        BackupError: something is there already, or a file that a row names is not there.
        OSError: it cannot be written.
    """
    with write_archive(target) as archive, tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
        rows, checkpoints, others = _take_snapshot(Path(scratch))
        for path in rows:
            archive.add(f"database/{path.name}", path)
        for location, path in checkpoints.items():
            _add(archive, location, path)
        for location in others:
            _add_stored(archive, location)
        archive.seal(created_at=timezone.now().isoformat(), migrations=list_applied())
    return target.stat().st_size


def _take_snapshot(scratch: Path) -> tuple[list[Path], dict[str, Path], list[str]]:
    """Write down the rows, and hold the checkpoints of runs under way.

    Returns:
        The files with the rows, the held checkpoints by location, the other locations that rows name.
    """
    for number in range(_TRIES):
        folder = scratch / str(number)
        (folder / "rows").mkdir(parents=True)
        with snapshot():
            rows = dump_rows(folder / "rows")
            passing, lasting = _list_locations()
        try:
            return rows, {location: _hold(location, folder / "held") for location in passing}, lasting
        except FileNotFoundError:
            shutil.rmtree(folder)
    message = "A run names a checkpoint that is gone, or replaces them quickly: see manage.py audit, and try again."
    raise BackupError(message)


def _list_locations() -> tuple[list[str], list[str]]:
    """Return what rows name: the checkpoints that may be replaced at any moment, and what stays."""
    passing = TrainingRun.objects.exclude(checkpoint="").values_list("checkpoint", flat=True)
    lasting = [
        *Dataset.objects.order_by("pk").values_list("location", flat=True),
        *ModelVersion.objects.order_by("pk").values_list("location", flat=True),
        *Evaluation.objects.with_files().order_by("pk").values_list("location", flat=True),
        *uploads_in_use(),
    ]
    return sorted(set(passing)), lasting


def _hold(location: str, folder: Path) -> Path:
    """Keep the files of a location from disappearing: by a second name, or by a copy on another file system.

    Raises:
        FileNotFoundError: they are gone.
    """
    source, target = fetch(location), folder / location
    target.mkdir(parents=True)
    names = sorted(path.name for path in source.iterdir())
    if not names:
        raise FileNotFoundError(location)
    for name in names:
        try:
            os.link(source / name, target / name)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source / name, target / name)
    return target


def _add_stored(archive: ArchiveWriter, location: str) -> None:
    try:
        with lend(location) as path:
            _add(archive, location, path)
    except FileNotFoundError as error:
        raise BackupError(f"{location} is named by a row and is not there: see manage.py audit.") from error


def _add(archive: ArchiveWriter, location: str, path: Path) -> None:
    """Add a file, or the files of a folder.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(location)
    for file in files:
        name = location if file == path else f"{location}/{file.relative_to(path).as_posix()}"
        archive.add(name, file)

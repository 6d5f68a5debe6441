"""A dataset import around its engine: source, private working folder, final folder and row."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from django.db import Error, IntegrityError, transaction

from training.choices import TERMINAL_STATUSES, ImportSource, JobStatus, Reason
from training.engine.constants import MANIFEST_NAME
from training.engine.data_checks import read_report, summarize_report
from training.engine.events import FinishedEvent
from training.engine.package import sync
from training.exceptions import StoreError
from training.models import Dataset, DatasetImport
from training.processes import engine_command
from training.publishing import do_beside_lease, insist
from training.recording import JobRecorder, Listener
from training.storage import DATASETS, IMPORTS, artifacts
from training.store import fetch, list_stored, publish, remove
from training.work import UnusableResultError, Work, remove_other_fences

logger = logging.getLogger(__name__)


class ImportWork(Work):
    """The work of one claimed import, in `imports/<id>/<fence>/` under the artifacts root.

    The engine writes there and nowhere else, so that removing the folder removes all that a failed import left.

    Args:
        job: The claimed import.
        listener: Told about every event of the engine.
    """

    def __init__(self, job: DatasetImport, *, listener: Listener) -> None:
        self._job = job
        self._folder = artifacts(IMPORTS, job.pk, job.fence)
        self._location = f"{DATASETS}/{job.pk}-{job.fence}"
        self.recorder = JobRecorder(job, listener=listener)

    def prepare(self) -> list[str]:
        """Make the working folder, without what an earlier claim left."""
        remove_other_fences(self._folder.parent, oldest_kept=self._job.fence)
        _remove_abandoned_datasets(self._job)
        self._folder.mkdir(parents=True, exist_ok=True)
        shared = [f"--name={self._job.name}", f"--output={self._output}"]
        match self._job.source:
            case ImportSource.DEMO:
                return engine_command("demo", *shared)
            case ImportSource.CIFAR10 | ImportSource.STL10 as download:
                return engine_command(str(download), *shared, f"--download-root={self._folder / 'download'}")
            case _:
                options = ["--skip-unreadable"] if self._job.skip_unreadable else []
                source = self._find_source()
                return engine_command("import", *shared, f"--source={source}", f"--notes={self._job.notes}", *options)

    def keep(self, finished: FinishedEvent, *, log_tail: str) -> Callable[[], None]:
        """Rename the dataset to its final folder; the write adds its row and ends the import."""
        manifest = json.loads((self._output / MANIFEST_NAME).read_text())
        report = read_report(self._output)
        if manifest["sha256"] != finished.get("dataset", {}).get("sha256"):
            raise UnusableResultError("The dataset was altered after it was written.", reason=Reason.BAD_DATASET)
        final = artifacts(self._location)
        final.parent.mkdir(parents=True, exist_ok=True)
        self._output.rename(final)
        sync(final.parent)
        do_beside_lease(self._job, lambda: insist(partial(publish, self._location)))

        def write() -> None:
            try:
                with transaction.atomic():
                    self._job.record(log_tail=log_tail)  # takes the row before the dataset's
                    self._job.succeed(dataset=self._create_dataset(manifest, report))
            except IntegrityError as error:
                detail = f"A dataset named {self._job.name} exists already."
                raise UnusableResultError(detail, reason=Reason.BAD_CONFIG) from error

        return write

    def clean_up(self, status: JobStatus | None) -> None:
        """Remove the working folder, and what came of it unless it became a dataset."""
        shutil.rmtree(self._folder, ignore_errors=True)
        _remove_unless_known(self._location)
        if status in TERMINAL_STATUSES:
            remove_traces(self._job)

    def _find_source(self) -> Path:
        """Return the archive or folder on this machine; an upload may have come to another one.

        Raises:
            OSError: the upload cannot be fetched.
        """
        job = self._job
        if not job.owns_source:
            return Path(job.source_path)
        return do_beside_lease(job, lambda: insist(partial(fetch, job.source_path)))

    @property
    def _output(self) -> Path:
        return self._folder / "dataset"

    def _create_dataset(self, manifest: dict[str, Any], report: dict[str, Any] | None) -> Dataset:
        return Dataset.objects.create(
            name=self._job.name,
            sha256=manifest["sha256"],
            location=self._location,
            manifest=manifest,
            checks=summarize_report(report),
            synthetic=manifest["synthetic"],
            train_count=manifest["splits"]["train"]["count"],
            test_count=manifest["splits"]["test"]["count"],
        )


def remove_traces(job: DatasetImport) -> None:
    """Remove the working folder, the upload and any unfinished dataset of an import that has ended. Safe to repeat."""
    shutil.rmtree(artifacts(IMPORTS, job.pk), ignore_errors=True)
    _remove_abandoned_datasets(job)
    if job.owns_source and job.source_path:
        with _logged():
            remove(job.source_path)
            DatasetImport.objects.filter(pk=job.pk).update(source_path="")


def _remove_abandoned_datasets(job: DatasetImport) -> None:
    """Remove what claims brought to its final place and then, losing their worker, never made known."""
    locations = {f"{DATASETS}/{folder.name}" for folder in artifacts(DATASETS).glob(f"{job.pk}-*")}
    with _logged():
        locations.update(stored.location for stored in list_stored(DATASETS, under=f"{job.pk}-"))
    for location in sorted(locations):
        _remove_unless_known(location)


def _remove_unless_known(location: str) -> None:
    """Remove a dataset's folder that no row names; when the database cannot say, it stays."""
    with contextlib.suppress(Error), _logged():
        if not Dataset.objects.filter(location=location).exists():
            remove(location)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Leave to the daily cleaning what a store that does not answer keeps."""
    try:
        yield
    except StoreError as error:
        logger.warning("What an import left in the store is removed later: %s", error.strerror)
